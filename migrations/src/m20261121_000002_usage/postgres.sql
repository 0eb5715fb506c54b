-- One row per call of a provider, also for those that failed, were cancelled or lost a race. Insert-only, and written in
-- the transaction of the log entries it belongs to. Holds no content, and does not go with its run: accounting outlives
-- what it accounts for.
CREATE TABLE mcp_usage (
    run_id              uuid    NOT NULL,
    epoch               integer NOT NULL CHECK (epoch > 0),
    call                integer NOT NULL CHECK (call > 0),
    tenant              text    NOT NULL CHECK (tenant <> ''),
    user_hash           text,
    simulated           boolean NOT NULL,
    provider            text    NOT NULL CHECK (provider <> ''),
    model               text    NOT NULL,
    key_index           integer CHECK (key_index >= 0),
    outcome             text    NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'cancelled', 'hedged', 'interrupted')),
    error_code          text,
    input_tokens        bigint  CHECK (input_tokens >= 0),
    output_tokens       bigint  CHECK (output_tokens >= 0),
    cached_input_tokens bigint  CHECK (cached_input_tokens >= 0),
    cache_write_tokens  bigint  CHECK (cache_write_tokens >= 0),
    reasoning_tokens    bigint  CHECK (reasoning_tokens >= 0),
    -- Null when not known, never 0 for want of a price.
    cost_nanousd        bigint  CHECK (cost_nanousd >= 0),
    cost_unknown        text    CHECK (cost_unknown IN ('no_price', 'no_usage')),
    estimated           boolean NOT NULL,
    first_token_ms      bigint  CHECK (first_token_ms >= 0),
    duration_ms         bigint  NOT NULL CHECK (duration_ms >= 0),
    provider_request_id text,
    started_at          bigint  NOT NULL,
    PRIMARY KEY (run_id, epoch, call),
    CHECK ((cost_nanousd IS NULL) = (cost_unknown IS NOT NULL)),
    CHECK ((outcome IN ('failed', 'interrupted')) = (error_code IS NOT NULL))
);

-- Rows come in the order of time, so that a range of days is a range of pages; and it costs an insert next to nothing.
CREATE INDEX mcp_usage_started ON mcp_usage USING brin (started_at) WITH (autosummarize = on);

-- The last change of each breaker of a provider and model, for all workers. Few rows, changed in place: no index but the
-- key, so that an update stays on its page.
CREATE TABLE mcp_breaker (
    provider   text    NOT NULL,
    model      text    NOT NULL,
    state      text    NOT NULL CHECK (state IN ('closed', 'open')),
    open_until bigint  NOT NULL,
    level      integer NOT NULL CHECK (level >= 0),
    version    bigint  NOT NULL CHECK (version >= 0),
    writer     bigint  NOT NULL,
    updated_at bigint  NOT NULL,
    PRIMARY KEY (provider, model)
) WITH (fillfactor = 50);

-- What a worker last saw of its providers, as JSON text, and when it said so.
ALTER TABLE mcp_worker
    ADD COLUMN figures text CHECK (octet_length(figures) <= 65536),
    ADD COLUMN figures_at bigint,
    ADD CHECK ((figures IS NULL) = (figures_at IS NULL));

-- Until when a run that has found all its providers ill waits for them.
ALTER TABLE mcp_request
    ADD COLUMN waits_until bigint,
    DROP CONSTRAINT mcp_request_on_interruption_check,
    ADD CONSTRAINT mcp_request_on_interruption_check CHECK (on_interruption IN ('restart', 'continue', 'fail'));
