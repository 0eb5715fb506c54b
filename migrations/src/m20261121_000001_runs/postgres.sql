-- Moments are bigint milliseconds since the Unix epoch, by database time; money is bigint billionths of a US dollar.

-- Database time at the start of the statement; stable, so that indexes can use it.
CREATE FUNCTION mcp_now() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT (extract(epoch FROM statement_timestamp()) * 1000)::bigint $$;

CREATE TABLE mcp_worker (
    id          uuid   PRIMARY KEY,
    name        text   NOT NULL,
    status      text   NOT NULL CHECK (status IN ('alive', 'draining', 'dead')),
    slots       integer NOT NULL CHECK (slots > 0),
    started_at  bigint NOT NULL,
    lease_until bigint NOT NULL
);

CREATE TABLE mcp_duty (
    name        text   PRIMARY KEY,
    holder      uuid   NOT NULL,
    lease_until bigint NOT NULL
);

CREATE TABLE mcp_request (
    id                   uuid     PRIMARY KEY,
    kind                 text     NOT NULL CHECK (kind IN ('chat')),
    tenant               text     NOT NULL CHECK (tenant <> ''),
    user_hash            text,
    class                text     NOT NULL CHECK (class IN ('interactive', 'standard', 'batch')),
    priority             smallint NOT NULL CHECK (priority BETWEEN 0 AND 100),
    task_type            text     NOT NULL,
    model                text     NOT NULL,
    on_interruption      text     NOT NULL CHECK (on_interruption IN ('restart', 'fail')),
    status               text     NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    epoch                integer  NOT NULL CHECK (epoch >= 0),
    worker_id            uuid,
    not_before           bigint   NOT NULL,
    deadline_at          bigint,
    attempts             integer  NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    retries              integer  NOT NULL DEFAULT 0 CHECK (retries >= 0),
    crashes              integer  NOT NULL DEFAULT 0 CHECK (crashes >= 0),
    cancel_at            bigint,
    cancel_by            text,
    idempotency_key      text,
    body_hmac            bytea,
    estimated_input_tokens  integer NOT NULL CHECK (estimated_input_tokens >= 0),
    estimated_output_tokens integer NOT NULL CHECK (estimated_output_tokens >= 0),
    estimated_cost_nanousd  bigint,
    trace_parent         text,
    simulated            boolean  NOT NULL,
    created_at           bigint   NOT NULL,
    claimed_at           bigint,
    finished_at          bigint,
    -- Content, in columns of its own, so that it can be erased without touching accounting.
    spec                 text,
    metadata             text,
    CHECK ((status = 'running') = (worker_id IS NOT NULL)),
    CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK (status <> 'running' OR (epoch > 0 AND attempts > 0 AND claimed_at IS NOT NULL)),
    CHECK ((idempotency_key IS NULL) = (body_hmac IS NULL)),
    CHECK ((cancel_at IS NULL) = (cancel_by IS NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE UNIQUE INDEX mcp_request_idempotency ON mcp_request (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX mcp_request_ready ON mcp_request (class, tenant, not_before, id) WHERE status = 'queued';
CREATE INDEX mcp_request_queued_deadline ON mcp_request (deadline_at) WHERE status = 'queued' AND deadline_at IS NOT NULL;
CREATE INDEX mcp_request_held ON mcp_request (worker_id) WHERE status = 'running';
CREATE INDEX mcp_request_running ON mcp_request (tenant) WHERE status = 'running';
CREATE INDEX mcp_request_listing ON mcp_request (tenant, id);
CREATE INDEX mcp_request_finished ON mcp_request (finished_at) WHERE finished_at IS NOT NULL;

-- Insert-only. No foreign key: retention drops whole partitions. The run id is a UUIDv7, so a range of ids is a range
-- of time.
CREATE TABLE mcp_event (
    run_id uuid    NOT NULL,
    epoch  integer NOT NULL CHECK (epoch >= 0),
    seq    integer NOT NULL CHECK (seq > 0),
    type   text    NOT NULL,
    at     bigint  NOT NULL,
    -- text, not jsonb: jsonb reorders keys and refuses \u0000.
    data   text    NOT NULL,
    PRIMARY KEY (run_id, epoch, seq)
) PARTITION BY RANGE (run_id);

CREATE TABLE mcp_event_default PARTITION OF mcp_event DEFAULT;

CREATE TABLE mcp_result (
    run_id        uuid    PRIMARY KEY,
    status        text    NOT NULL CHECK (status IN ('succeeded', 'failed', 'cancelled')),
    answer        text,
    finish_reason text,
    provider      text,
    model         text,
    usage         text,
    cost_nanousd  bigint,
    error_code    text,
    error_message text,
    retryable     boolean,
    finished_at   bigint  NOT NULL,
    CHECK ((status = 'failed') = (error_code IS NOT NULL)),
    CHECK (status <> 'succeeded' OR (answer IS NOT NULL AND finish_reason IS NOT NULL))
);
