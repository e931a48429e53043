-- What was done lately is asked for every few seconds (docs/how-to/monitor.md).
CREATE INDEX image_source_finished ON millrace.image_source (finished_at) WHERE finished_at IS NOT NULL;
