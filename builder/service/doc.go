// Package service is what a builder that runs for months deals in: builds,
// their events, schedules, and the interfaces between its parts. The parts are
// below it:
//
//	store    keeps builds, events and schedules (SQLite)
//	source   turns what was submitted into a tree of recipe files, and that into requests
//	queue    runs builds, one after the other; schedules; retention
//	access   tokens, roles, limits
//	api      the HTTP API of /api/v1 and its OpenAPI document
//	client   that API from elsewhere
//	web      the pages
//
// It is not for the command line, and not for engines: cmd/riscv-build opens
// those and hands them over as a Maker.
package service
