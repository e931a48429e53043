-- A run may have many files: a rejected row's offset is that in its own file.
ALTER TABLE millrace.rejected_row
DROP CONSTRAINT rejected_row_pkey,
ADD PRIMARY KEY (run_id, file, byte_offset);

COMMENT ON COLUMN millrace.rejected_row.byte_offset IS
'Of the record''s first byte in its file; in the plain text, where the file is packed.';
COMMENT ON COLUMN millrace.ingest_loser.first_lines IS
'int64: line in the low 40 bits, and above them the number of the file in the run, from 0.';
