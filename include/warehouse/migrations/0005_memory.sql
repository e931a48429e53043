-- Memory audit: what processes took, what was said of them, and what was found in them.
CREATE TABLE millrace.memory_sample (
    host text NOT NULL,
    pid integer NOT NULL,
    start_ticks bigint NOT NULL,
    taken_at timestamptz NOT NULL,
    role text NOT NULL,
    age_seconds double precision NOT NULL,
    resident_bytes bigint NOT NULL,
    anonymous_bytes bigint NOT NULL,
    swap_bytes bigint NOT NULL,
    unique_bytes bigint,
    proportional_bytes bigint,
    threads integer NOT NULL,
    open_files integer,
    unreadable text [] NOT NULL,
    counters jsonb,
    PRIMARY KEY (host, pid, start_ticks, taken_at)
);

COMMENT ON TABLE millrace.memory_sample IS
'A look at a process. Host, id and start (ticks since boot) tell its incarnation, so a restart is another process.';
COMMENT ON COLUMN millrace.memory_sample.unreadable IS 'What could not be read, and why.';
COMMENT ON COLUMN millrace.memory_sample.counters IS
'What the agent inside counted at that moment; null where there is none, or it did not answer.';

CREATE INDEX memory_sample_taken_at ON millrace.memory_sample USING brin (taken_at);

CREATE TABLE millrace.memory_finding (
    host text NOT NULL,
    pid integer NOT NULL,
    start_ticks bigint NOT NULL,
    role text NOT NULL,
    judged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    verdict text NOT NULL,
    kind text NOT NULL,
    why text NOT NULL,
    rate double precision,
    rate_low double precision,
    rate_high double precision,
    hours_left double precision,
    suspect boolean NOT NULL,
    flagged_at timestamptz,
    PRIMARY KEY (host, pid, start_ticks)
);

COMMENT ON TABLE millrace.memory_finding IS 'The last verdict on each incarnation of a process.';
COMMENT ON COLUMN millrace.memory_finding.rate IS
'Growth in MB (10^6 bytes) an hour, with its 95 % confidence interval.';
COMMENT ON COLUMN millrace.memory_finding.flagged_at IS
'Since when it is said to leak; null again when it does no more. The alert goes out when this is set.';

CREATE TABLE millrace.memory_evidence (
    evidence_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    host text NOT NULL,
    pid integer NOT NULL,
    start_ticks bigint NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    evidence jsonb NOT NULL
);

COMMENT ON TABLE millrace.memory_evidence IS 'Deep profiles: growing lines, types, and chains to what holds them.';

CREATE INDEX memory_evidence_process ON millrace.memory_evidence (host, pid, start_ticks, taken_at);
