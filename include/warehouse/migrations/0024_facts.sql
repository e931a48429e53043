-- What pictures are found by: the user's own tags and metadata of an upload, and what its bytes show.
ALTER TABLE millrace.image
ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object');

COMMENT ON COLUMN millrace.image.tags IS 'The user''s own, given with the upload or later; each once.';
COMMENT ON COLUMN millrace.image.metadata IS
'The user''s own, given with the upload or later: an object of texts, numbers, true and false.';

CREATE INDEX image_by_tag ON millrace.image USING gin (tags);
CREATE INDEX image_by_metadata ON millrace.image USING gin (metadata jsonb_path_ops);

-- A table of its own: rows of image_source are written several times a picture, and a search by the hash reads all.
CREATE TABLE millrace.image_facts (
    digest text PRIMARY KEY REFERENCES millrace.image_source ON DELETE CASCADE,
    taken_at timestamp,
    taken_offset interval,
    camera_make text,
    camera_model text,
    lens text,
    latitude double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision CHECK (longitude BETWEEN -180 AND 180),
    profile text,
    transparent boolean NOT NULL,
    colours text[] NOT NULL,
    perceptual_hash bigint,
    method text NOT NULL
);

COMMENT ON TABLE millrace.image_facts IS
'What the bytes of a picture show, found while its renditions are made; no row: made before this was looked for.';
COMMENT ON COLUMN millrace.image_facts.digest IS 'SHA-256 of the bytes.';
COMMENT ON COLUMN millrace.image_facts.taken_at IS
'EXIF''s DateTimeOriginal: what the camera''s clock showed, in whatever zone it was set to.';
COMMENT ON COLUMN millrace.image_facts.taken_offset IS
'How far that clock was ahead of UTC, if the camera says so; the moment is
(taken_at - taken_offset) AT TIME ZONE ''UTC''.';
COMMENT ON COLUMN millrace.image_facts.camera_make IS 'EXIF''s Make.';
COMMENT ON COLUMN millrace.image_facts.camera_model IS 'EXIF''s Model.';
COMMENT ON COLUMN millrace.image_facts.lens IS 'EXIF''s LensModel.';
COMMENT ON COLUMN millrace.image_facts.latitude IS
'Degrees north, by EXIF; kept only where MILLRACE_IMAGE_POSITION is on, as it may be personal data.';
COMMENT ON COLUMN millrace.image_facts.longitude IS 'Degrees east, as latitude.';
COMMENT ON COLUMN millrace.image_facts.profile IS 'Name of the embedded ICC profile.';
COMMENT ON COLUMN millrace.image_facts.transparent IS
'Whether any pixel of the picture, or of the first frame, is transparent.';
COMMENT ON COLUMN millrace.image_facts.colours IS
'Up to five colours that most of the picture has, in sRGB as #rrggbb, the most frequent first; {}: all is transparent.';
COMMENT ON COLUMN millrace.image_facts.perceptual_hash IS
'64 bits (pHash) that change little when a picture is resized or encoded anew; null: nearly of one colour.';
COMMENT ON COLUMN millrace.image_facts.method IS
'How this was found: where that has changed, a run with everything finds it anew.';

CREATE INDEX image_facts_by_time ON millrace.image_facts (taken_at);
CREATE INDEX image_facts_by_camera ON millrace.image_facts (camera_make, camera_model);
CREATE INDEX image_facts_by_position ON millrace.image_facts (latitude, longitude) WHERE latitude IS NOT NULL;
CREATE INDEX image_facts_by_hash ON millrace.image_facts (perceptual_hash);
