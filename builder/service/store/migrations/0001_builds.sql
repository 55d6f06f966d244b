-- Times are microseconds since 1970, 0 for none.
CREATE TABLE builds (
	id       INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
	recipe   TEXT    NOT NULL,
	version  TEXT    NOT NULL,
	status   TEXT    NOT NULL,
	client   TEXT    NOT NULL,
	cause    TEXT    NOT NULL,
	tree     TEXT    NOT NULL,
	inputs   TEXT    NOT NULL,
	same_as  INTEGER NOT NULL,
	retry_of INTEGER NOT NULL,
	attempt  INTEGER NOT NULL,
	created  INTEGER NOT NULL,
	started  INTEGER NOT NULL,
	ended    INTEGER NOT NULL,
	exit     INTEGER NOT NULL,
	events   INTEGER NOT NULL DEFAULT 0, -- how many it has had
	logged   INTEGER NOT NULL DEFAULT 1, -- its events are still here
	stage    TEXT    NOT NULL,
	error    TEXT    NOT NULL,
	origin   TEXT    NOT NULL, -- JSON
	options  TEXT    NOT NULL, -- JSON
	result   TEXT    NOT NULL  -- JSON, or empty
);
CREATE INDEX builds_status  ON builds (status, id);
CREATE INDEX builds_recipe  ON builds (recipe, id);
CREATE INDEX builds_client  ON builds (client, id);
CREATE INDEX builds_ended   ON builds (ended);
CREATE INDEX builds_same    ON builds (same_as) WHERE same_as <> 0;
CREATE INDEX builds_tree    ON builds (tree) WHERE tree <> '';
CREATE INDEX builds_inputs  ON builds (inputs, id) WHERE status IN ('queued', 'running');
CREATE INDEX builds_waiting ON builds (client, id) WHERE status = 'queued' AND same_as = 0;

CREATE TABLE events (
	build INTEGER NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
	seq   INTEGER NOT NULL,
	time  INTEGER NOT NULL,
	kind  TEXT    NOT NULL,
	data  TEXT    NOT NULL, -- JSON
	PRIMARY KEY (build, seq)
) WITHOUT ROWID;

CREATE TABLE artefacts (
	build INTEGER NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
	name  TEXT    NOT NULL,
	data  BLOB    NOT NULL, -- gzip
	PRIMARY KEY (build, name)
);

-- The turn in which a client was last served.
CREATE TABLE clients (
	client TEXT PRIMARY KEY,
	turn   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE schedules (
	name TEXT PRIMARY KEY,
	data TEXT NOT NULL -- JSON
) WITHOUT ROWID;

CREATE TABLE meta (
	name TEXT PRIMARY KEY,
	data TEXT NOT NULL
) WITHOUT ROWID;
