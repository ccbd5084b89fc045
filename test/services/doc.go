// Package services tests the engine against real servers of somebody else's.
//
// scripts/test-services.sh starts them and names them in the environment; without
// it the tests are skipped, and say so. Where the script has been through, a test
// that finds no server fails.
package services
