-- One row per call of a provider, also for those that failed, were cancelled or lost a race. Insert-only, and written in
-- the transaction of the log entries it belongs to. Holds no content, and does not go with its run: accounting outlives
-- what it accounts for.
CREATE TABLE mcp_usage (
    run_id              BLOB    NOT NULL,
    epoch               integer NOT NULL CHECK (epoch > 0),
    call                integer NOT NULL CHECK (call > 0),
    tenant              text    NOT NULL CHECK (tenant <> ''),
    user_hash           text,
    simulated           integer NOT NULL CHECK (simulated IN (0, 1)),
    provider            text    NOT NULL CHECK (provider <> ''),
    model               text    NOT NULL,
    key_index           integer CHECK (key_index >= 0),
    outcome             text    NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'cancelled', 'hedged', 'interrupted')),
    error_code          text,
    input_tokens        integer CHECK (input_tokens >= 0),
    output_tokens       integer CHECK (output_tokens >= 0),
    cached_input_tokens integer CHECK (cached_input_tokens >= 0),
    cache_write_tokens  integer CHECK (cache_write_tokens >= 0),
    reasoning_tokens    integer CHECK (reasoning_tokens >= 0),
    -- Null when not known, never 0 for want of a price.
    cost_nanousd        integer CHECK (cost_nanousd >= 0),
    cost_unknown        text    CHECK (cost_unknown IN ('no_price', 'no_usage')),
    estimated           integer NOT NULL CHECK (estimated IN (0, 1)),
    first_token_ms      integer CHECK (first_token_ms >= 0),
    duration_ms         integer NOT NULL CHECK (duration_ms >= 0),
    provider_request_id text,
    started_at          integer NOT NULL,
    PRIMARY KEY (run_id, epoch, call),
    CHECK ((cost_nanousd IS NULL) = (cost_unknown IS NOT NULL)),
    CHECK ((outcome IN ('failed', 'interrupted')) = (error_code IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX mcp_usage_started ON mcp_usage (started_at);

-- The last change of each breaker of a provider and model, for all workers.
CREATE TABLE mcp_breaker (
    provider   text    NOT NULL,
    model      text    NOT NULL,
    state      text    NOT NULL CHECK (state IN ('closed', 'open')),
    open_until integer NOT NULL,
    level      integer NOT NULL CHECK (level >= 0),
    version    integer NOT NULL CHECK (version >= 0),
    writer     integer NOT NULL,
    updated_at integer NOT NULL,
    PRIMARY KEY (provider, model)
) STRICT, WITHOUT ROWID;

-- What a worker last saw of its providers, as JSON text, and when it said so.
ALTER TABLE mcp_worker ADD COLUMN figures text CHECK (length(CAST(figures AS BLOB)) <= 65536);
ALTER TABLE mcp_worker ADD COLUMN figures_at integer CHECK ((figures IS NULL) = (figures_at IS NULL));

-- SQLite changes no CHECK in place: a table with the new one (`continue` is new) takes the old one's rows and name.
CREATE TABLE mcp_request_new (
    id                   BLOB     PRIMARY KEY NOT NULL,
    kind                 text     NOT NULL CHECK (kind IN ('chat')),
    tenant               text     NOT NULL CHECK (tenant <> ''),
    user_hash            text,
    class                text     NOT NULL CHECK (class IN ('interactive', 'standard', 'batch')),
    priority             integer NOT NULL CHECK (priority BETWEEN 0 AND 100),
    task_type            text     NOT NULL,
    model                text     NOT NULL,
    on_interruption      text     NOT NULL CHECK (on_interruption IN ('restart', 'continue', 'fail')),
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
    -- Until when a run that has found all its providers ill waits for them.
    waits_until          integer,
    CHECK ((status = 'running') = (worker_id IS NOT NULL)),
    CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK (status <> 'running' OR (epoch > 0 AND attempts > 0 AND claimed_at IS NOT NULL)),
    CHECK ((idempotency_key IS NULL) = (body_hmac IS NULL)),
    CHECK ((cancel_at IS NULL) = (cancel_by IS NULL))
) STRICT;

INSERT INTO mcp_request_new SELECT *, NULL FROM mcp_request;
DROP TABLE mcp_request;
ALTER TABLE mcp_request_new RENAME TO mcp_request;

CREATE UNIQUE INDEX mcp_request_idempotency ON mcp_request (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX mcp_request_ready ON mcp_request (class, tenant, not_before, id) WHERE status = 'queued';
CREATE INDEX mcp_request_queued_deadline ON mcp_request (deadline_at) WHERE status = 'queued' AND deadline_at IS NOT NULL;
CREATE INDEX mcp_request_held ON mcp_request (worker_id) WHERE status = 'running';
CREATE INDEX mcp_request_running ON mcp_request (tenant) WHERE status = 'running';
CREATE INDEX mcp_request_listing ON mcp_request (tenant, id);
CREATE INDEX mcp_request_finished ON mcp_request (finished_at) WHERE finished_at IS NOT NULL;
