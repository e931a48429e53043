-- Images: what was uploaded, what it is made of, and what was made of it.
CREATE TABLE millrace.image_source (
    digest text PRIMARY KEY CHECK (digest ~ '^[0-9a-f]{64}$'),
    bytes bigint NOT NULL,
    state text NOT NULL DEFAULT 'accepted' CHECK (state IN ('accepted', 'resizing', 'done', 'failed')),
    code text,
    reason text,
    attempts integer NOT NULL DEFAULT 0,
    priority smallint NOT NULL DEFAULT 0,
    recipes text,
    batch uuid,
    claimed_until timestamptz,
    format text,
    width integer,
    height integer,
    frames integer,
    still boolean NOT NULL DEFAULT FALSE,
    placeholder text,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);

COMMENT ON TABLE millrace.image_source IS
'The bytes of a picture, once, however often they were uploaded. This is the list of work.';
COMMENT ON COLUMN millrace.image_source.attempts IS 'How often a task has begun it.';
COMMENT ON COLUMN millrace.image_source.priority IS '0: uploaded; 1: from a folder, or made anew by other recipes.';
COMMENT ON COLUMN millrace.image_source.recipes IS 'Identity of the recipes that its renditions were made by.';
COMMENT ON COLUMN millrace.image_source.batch IS
'The batch that has claimed it; the claim is void after claimed_until.';
COMMENT ON COLUMN millrace.image_source.still IS
'An animation over the limits, of which only the first frame was used.';

CREATE INDEX image_source_waiting ON millrace.image_source (priority, accepted_at)
WHERE state IN ('accepted', 'resizing');
CREATE INDEX image_source_batch ON millrace.image_source (batch) WHERE state = 'resizing';

CREATE TABLE millrace.image (
    image_id uuid PRIMARY KEY,
    digest text NOT NULL REFERENCES millrace.image_source,
    owner text NOT NULL,
    file_name text NOT NULL,
    callback_url text,
    callback_due timestamptz,
    callback_attempts integer NOT NULL DEFAULT 0,
    callback_answer text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX image_by_time ON millrace.image (created_at DESC, image_id DESC);
CREATE INDEX image_by_source ON millrace.image (digest);
CREATE INDEX image_by_owner ON millrace.image (owner);

CREATE INDEX image_by_callback ON millrace.image (callback_due) WHERE callback_due IS NOT NULL;

COMMENT ON COLUMN millrace.image.callback_due IS
'When to call callback_url, once the picture is done or failed; empty: delivered, given up, or never asked for.';
COMMENT ON COLUMN millrace.image.callback_answer IS 'What the last call came to.';
COMMENT ON COLUMN millrace.image.file_name IS 'As the user called it. Never part of a path.';

CREATE TABLE millrace.image_rendition (
    digest text NOT NULL REFERENCES millrace.image_source ON DELETE CASCADE,
    name text NOT NULL,
    format text NOT NULL,
    recipe text NOT NULL,
    file text NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    animated boolean NOT NULL,
    PRIMARY KEY (digest, name, format)
);

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
