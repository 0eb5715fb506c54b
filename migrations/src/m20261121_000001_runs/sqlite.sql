-- Moments are integer milliseconds since the Unix epoch; money is integer billionths of a US dollar.

CREATE TABLE mcp_worker (
    id          BLOB   PRIMARY KEY NOT NULL,
    name        text   NOT NULL,
    status      text   NOT NULL CHECK (status IN ('alive', 'draining', 'dead')),
    slots       integer NOT NULL CHECK (slots > 0),
    started_at  integer NOT NULL,
    lease_until integer NOT NULL
) STRICT;

CREATE TABLE mcp_duty (
    name        text   PRIMARY KEY NOT NULL,
    holder      BLOB   NOT NULL,
    lease_until integer NOT NULL
) STRICT;

CREATE TABLE mcp_request (
    id                   BLOB     PRIMARY KEY NOT NULL,
    kind                 text     NOT NULL CHECK (kind IN ('chat')),
    tenant               text     NOT NULL CHECK (tenant <> ''),
    user_hash            text,
    class                text     NOT NULL CHECK (class IN ('interactive', 'standard', 'batch')),
    priority             integer NOT NULL CHECK (priority BETWEEN 0 AND 100),
    task_type            text     NOT NULL,
    model                text     NOT NULL,
    on_interruption      text     NOT NULL CHECK (on_interruption IN ('restart', 'fail')),
    status               text     NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    epoch                integer  NOT NULL CHECK (epoch >= 0),
    worker_id            BLOB,
    not_before           integer   NOT NULL,
    deadline_at          integer,
    attempts             integer  NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    retries              integer  NOT NULL DEFAULT 0 CHECK (retries >= 0),
    crashes              integer  NOT NULL DEFAULT 0 CHECK (crashes >= 0),
    cancel_at            integer,
    cancel_by            text,
    idempotency_key      text,
    body_hmac            BLOB,
    estimated_input_tokens  integer NOT NULL CHECK (estimated_input_tokens >= 0),
    estimated_output_tokens integer NOT NULL CHECK (estimated_output_tokens >= 0),
    estimated_cost_nanousd  integer,
    trace_parent         text,
    simulated            integer  NOT NULL CHECK (simulated IN (0, 1)),
    created_at           integer   NOT NULL,
    claimed_at           integer,
    finished_at          integer,
    -- Content, in columns of its own, so that it can be erased without touching accounting.
    spec                 text,
    metadata             text,
    CHECK ((status = 'running') = (worker_id IS NOT NULL)),
    CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK (status <> 'running' OR (epoch > 0 AND attempts > 0 AND claimed_at IS NOT NULL)),
    CHECK ((idempotency_key IS NULL) = (body_hmac IS NULL)),
    CHECK ((cancel_at IS NULL) = (cancel_by IS NULL))
) STRICT;

CREATE UNIQUE INDEX mcp_request_idempotency ON mcp_request (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX mcp_request_ready ON mcp_request (class, tenant, not_before, id) WHERE status = 'queued';
CREATE INDEX mcp_request_queued_deadline ON mcp_request (deadline_at) WHERE status = 'queued' AND deadline_at IS NOT NULL;
CREATE INDEX mcp_request_held ON mcp_request (worker_id) WHERE status = 'running';
CREATE INDEX mcp_request_running ON mcp_request (tenant) WHERE status = 'running';
CREATE INDEX mcp_request_listing ON mcp_request (tenant, id);
CREATE INDEX mcp_request_finished ON mcp_request (finished_at) WHERE finished_at IS NOT NULL;

-- Insert-only. No foreign key: retention removes the log before the run.
CREATE TABLE mcp_event (
    run_id BLOB    NOT NULL,
    epoch  integer NOT NULL CHECK (epoch >= 0),
    seq    integer NOT NULL CHECK (seq > 0),
    type   text    NOT NULL,
    at     integer  NOT NULL,
    data   text    NOT NULL,
    PRIMARY KEY (run_id, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE mcp_result (
    run_id        BLOB    PRIMARY KEY NOT NULL,
    status        text    NOT NULL CHECK (status IN ('succeeded', 'failed', 'cancelled')),
    answer        text,
    finish_reason text,
    provider      text,
    model         text,
    usage         text,
    cost_nanousd  integer,
    error_code    text,
    error_message text,
    retryable     integer CHECK (retryable IN (0, 1)),
    finished_at   integer  NOT NULL,
    CHECK ((status = 'failed') = (error_code IS NOT NULL)),
    CHECK (status <> 'succeeded' OR (answer IS NOT NULL AND finish_reason IS NOT NULL))
) STRICT;
