SELECT $2, $1, $2 -- ; COMMIT
;