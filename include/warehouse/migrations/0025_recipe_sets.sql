-- Sets of recipes, and focal points: each upload has its own, and of a source the renditions for all of them are made.
ALTER TABLE millrace.image ADD COLUMN recipes text NOT NULL DEFAULT '';

COMMENT ON COLUMN millrace.image.recipes IS
'Which renditions it gets: the name of a set, or empty for the recipe file''s own, and @x,y for a focal point.';

ALTER TABLE millrace.image_source
ALTER COLUMN recipes TYPE jsonb USING CASE WHEN recipes IS NOT NULL THEN jsonb_build_object('', recipes) END;

COMMENT ON COLUMN millrace.image_source.recipes IS
'By what the uploads chose (image.recipes), the identity of the recipes that the renditions were made by.';

ALTER TABLE millrace.image_rendition
ADD COLUMN recipes text NOT NULL DEFAULT '',
ADD COLUMN reached boolean,
DROP CONSTRAINT image_rendition_pkey,
ADD PRIMARY KEY (digest, recipes, name, format);

COMMENT ON COLUMN millrace.image_rendition.recipes IS 'Whose uploads it is for: as image.recipes.';
COMMENT ON COLUMN millrace.image_rendition.reached IS
'Whether the file is what target_ssim or max_bytes asks for; empty: its recipe asks for neither.';
