package analyze

import (
	"embed"
	"fmt"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// text returns the SQL text of a question: sql/NAME.sql, or that of the database where each has its own.
func (db *DB) text(name string) string {
	for _, file := range []string{name + ".sql", name + "." + db.Dialect.String() + ".sql"} {
		if b, err := sqlFiles.ReadFile("sql/" + file); err == nil {
			return string(b)
		}
	}
	panic(fmt.Sprintf("analyze: no SQL text %s", name))
}

// String is the dialect's name in the names of files.
func (d Dialect) String() string { return [...]string{"postgres", "duckdb"}[d] }
