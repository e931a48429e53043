-- Deleted pictures whose files are to be removed from the store once more.
CREATE TABLE millrace.image_deleted (
    digest text PRIMARY KEY,
    deleted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE millrace.image_deleted IS
'Sources that were deleted. Their files are removed at once, and again by a daily run a day later: the store may have
been out of reach, or a task may have been making renditions.';

-- Files that were swept, so that a file that is still the same need not be read again.
CREATE TABLE millrace.image_swept (
    place text PRIMARY KEY,
    mark text NOT NULL,
    digest text NOT NULL
);

COMMENT ON COLUMN millrace.image_swept.place IS 'Path or URL of the file.';
COMMENT ON COLUMN millrace.image_swept.mark IS 'Size, and time of change or ETag, as they were when it was read.';
