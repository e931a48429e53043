-- Old ones are deleted each night: by an index of a few pages, as they come in the order of time.
CREATE INDEX memory_task_ended_at ON millrace.memory_task USING brin (ended_at);
