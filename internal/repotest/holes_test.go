package repotest

import (
	"go/ast"
	"strings"
	"testing"
)

// holes are the ways in which engines are known to lose or double what was
// acknowledged, and the tests that hold that this one does not. A test is named by
// its folder and function.
var holes = []struct{ hole, test string }{
	// Of engines in general.
	{"state is wiped when the store was not closed well", "internal/job TestCrashesChangeNothing"},
	{"a failed fsync is tried again, and succeeds because the kernel has forgotten the pages", "internal/connector/file TestAFailedSyncIsNotTriedAgain"},
	{"a failed fsync of a log is tried again", "internal/journal TestErrorsOfTheDiskLoseNothing"},
	{"a store goes on after its log could not be synced", "internal/connector/table TestALogThatCannotBeWrittenEndsTheProcess"},
	{"rows are readable before they are durable", "internal/connector/table TestPowerLoss"},
	{"what was served is taken back by a power cut", "internal/journal TestNoKillTakesBackWhatWasServed"},
	{"a torn tail is taken for damage, or damage for a torn tail", "internal/journal TestEveryFlippedBitIsFound"},
	{"the latest checkpoint is damaged, and an older one is used in silence", "internal/checkpoint TestALatestManifestThatCannotBeReadIsNotSkipped"},
	{"an engine that was replaced goes on deciding", "internal/checkpoint TestAnEngineThatGaveAnEpochUpMeetsOneThatHasTakenOver"},
	{"an engine that slept claims a number that was deleted", "internal/checkpoint TestAnEngineThatSleptGivesWay"},
	{"the outcome of a decision is unknown, and is guessed", "internal/checkpoint TestSimulation"},
	{"output of an epoch that was given up is lost", "internal/checkpoint TestSimulation"},

	// Of files.
	{"a file is synced, and its name is not", "internal/checkpoint/dir TestAPowerCutAtEveryOperation"},
	{"a file leaves one folder durably before it is durably in the other", "internal/connector/file TestPowerLoss"},
	{"output is renamed before it is decided or synced", "internal/connector/file TestDiskErrors"},
	{"deletions come back after a power cut", "internal/journal TestDeletionsThatCameBackAreAccepted"},
	{"garbage is collected that a kept checkpoint needs", "internal/checkpoint TestEnginesOnOneStoreNeverPartNorLoseObjects"},
	{"a claim replaces that of another", "internal/checkpoint/dir TestClaimsAreExclusiveWithoutTheLock"},
	{"a log is continued behind a torn tail", "internal/journal TestNoPowerCutLosesWhatWasAcknowledged"},
	{"input is trimmed that a kept checkpoint needs", "internal/journal TestTrimNeverTakesWhatAReaderNeeds"},
	{"an input file is another one than before", "internal/connector/file TestAFileThatIsNotTheSameIsRefused"},
	{"an output file was changed by somebody else", "internal/connector/file TestAPartialFileThatWasChangedIsRefused"},

	// Of the table store.
	{"a store is half made", "internal/connector/table TestAHalfMadeStoreIsMadeAgainButNothingElseIsTouched"},
	{"a store is more than one epoch behind, or ahead", "internal/connector/table TestAStoreThatDoesNotFitTheCheckpointIsRefused"},
	{"a flipped bit drops the last epochs in silence", "internal/connector/table TestAFlippedByteIsDetectedOrHarmless"},
	{"a full disk blocks commits without an error", "internal/connector/table TestAFullDiskMakesTheTableWaitAndReadsGoOn"},

	// Of state.
	{"changes are marked by chunk, and nearly everything is written", "internal/snapshot TestChainsStayShort"},
	{"deleted records come back", "internal/snapshot TestWhatIsRestoredIsWhatWasCut"},
	{"damaged state is restored", "internal/snapshot TestEveryChangedOrMissingByteOfASegmentIsFound"},
	{"an operator keeps something outside of its state", "internal/operator TestScriptsCrashing"},
	{"the order of input is another one after a restart", "internal/task TestARestoredFeedGoesOnAsIfNothingHadHappened"},
	{"a full disk that has room again is not used", "internal/journal TestADiskThatGetsSpaceAgainGoesOn"},
}

// TestEveryKnownHoleHasATest holds the list against the tree.
func TestEveryKnownHoleHasATest(t *testing.T) {
	repo, err := loadRepository()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, p := range repo.packages {
		for _, f := range p.files {
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") {
					there[p.dir+" "+fn.Name.Name] = true
				}
			}
		}
	}
	for _, h := range holes {
		if !there[h.test] {
			t.Errorf("%s: there is no %s", h.hole, h.test)
		}
	}
}
