COMMENT ON COLUMN millrace.image_source.code IS
'Why it failed, in a word; of a picture that is done: salvaged, or empty.';
COMMENT ON COLUMN millrace.image_source.reason IS
'Why it failed, in words, or that it was salvaged from a file that was cut off or damaged.';
