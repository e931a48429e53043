-- Links that show a picture without a login are signed, not stored: this is what makes those of a picture void.
ALTER TABLE millrace.image ADD COLUMN links_mark bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN millrace.image.links_mark IS
'Links name it: those that name another number are void. It is drawn anew when links are revoked.';
