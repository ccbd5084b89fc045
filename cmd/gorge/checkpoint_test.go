package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/checkpoint"
)

// epochs returns the epochs that gorge checkpoint list shows, oldest first.
func epochs(t *testing.T, file, data string) []string {
	t.Helper()
	code, out, stderr := inProcess(t, "", "checkpoint", "list", file, "--data", data, "--json")
	if code != exitDone {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	var list []string
	for _, m := range regexp.MustCompile(`"epoch":(\d+),"kind":"(\w+)"`).FindAllStringSubmatch(out, -1) {
		list = append(list, m[1])
	}
	if len(list) < 3 {
		t.Fatalf("too few checkpoints to test with:\n%s", out)
	}
	return list
}

func TestCheckpointsAreListedInspectedAndVerified(t *testing.T) {
	file, data := stoppedPipeline(t)
	list := epochs(t, file, data)
	last := list[len(list)-1]
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"list", file}, []string{"EPOCH", "ending (finished)", "periodic", " blocks to the end"}},
		{[]string{"inspect", file}, []string{"epoch " + last + " of pipeline p, ending", "there is nothing to go on from", "step a\n", "source e (generate)", "sink o (null)"}},
		{[]string{"inspect", file, list[1]}, []string{"epoch " + list[1] + " ", "window tumbling 1h", "key device_id string", "key groups 0 to", "window from 20", "all of key groups 0 to"}},
		{[]string{"verify", file}, []string{"epoch " + last + ": whole"}},
		{[]string{"verify", file, "--all"}, []string{"epoch " + list[0] + ": whole", "epoch " + last + ": whole"}},
		{[]string{"verify", file, "--store", filepath.Join(data, "checkpoints")}, []string{"epoch " + last + ": whole"}},
	} {
		args := append([]string{"checkpoint"}, c.args...)
		code, out, stderr := inProcess(t, "", append(args, "--data", data)...)
		if code != exitDone {
			t.Errorf("%v: exit code %d\n%s", c.args, code, stderr)
		}
		for _, s := range c.says {
			if !strings.Contains(out, s) {
				t.Errorf("%v does not say %q:\n%s", c.args, s, out)
			}
		}
	}
	_, out, _ := inProcess(t, "", "checkpoint", "inspect", file, list[1], "--data", data, "--json")
	var m checkpoint.Manifest
	if err := json.Unmarshal([]byte(out), &m); err != nil || m.Pipeline != "p" || len(m.Steps) != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestDamageIsNamed(t *testing.T) {
	file, data := stoppedPipeline(t)
	list := epochs(t, file, data)
	segments, err := filepath.Glob(filepath.Join(data, "checkpoints", "chunks", "*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%v, %v", segments, err)
	}
	for i, path := range segments {
		bytes, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			break
		}
		bytes[len(bytes)/2] ^= 1
		if err := os.WriteFile(path, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, stderr := inProcess(t, "", "checkpoint", "verify", file, "--all", "--data", data)
	if code != exitFailed || !strings.Contains(out, filepath.Base(segments[0])) || !strings.Contains(out, ": whole") || !strings.Contains(stderr, "cli/damaged") {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
	// A manifest that cannot be read is damage too, and the list goes on behind it.
	manifests, err := filepath.Glob(filepath.Join(data, "checkpoints", "manifests", "*"))
	if err != nil || len(manifests) != len(list) {
		t.Fatalf("%v, %v", manifests, err)
	}
	if err := os.WriteFile(manifests[1], []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, out, _ = inProcess(t, "", "checkpoint", "list", file, "--data", data)
	if !regexp.MustCompile(`(?m)^`+list[1]+` +damaged`).MatchString(out) || !strings.Contains(out, list[2]) {
		t.Errorf("%s", out)
	}
	if code, out, _ = inProcess(t, "", "checkpoint", "verify", file, list[1], "--data", data); code != exitFailed || !strings.Contains(out, "epoch "+list[1]+": damaged") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestCheckpointCommandsSayWhatIsWrong(t *testing.T) {
	file, data := stoppedPipeline(t)
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"lst"}, exitUsage, "did you mean: gorge checkpoint list"},
		{[]string{"list"}, exitUsage, "needs the pipeline file"},
		{[]string{"inspect"}, exitUsage, "needs the pipeline file"},
		{[]string{"inspect", file, "x", "--data", data}, exitUsage, "not the number of an epoch"},
		{[]string{"inspect", file, "987654", "--data", data}, exitFailed, "there is no checkpoint of epoch 987654"},
		{[]string{"verify", file, "987654", "--data", data}, exitFailed, "there is no checkpoint of epoch 987654"},
		{[]string{"verify", file, "1", "--all", "--data", data}, exitUsage, "say two things"},
		{[]string{"list", file, "--data", empty}, exitFailed, "there is no checkpoint store"},
		{[]string{"list", file, "--store", "/does/not/exist"}, exitFailed, "there is no checkpoint store"},
	} {
		code, _, stderr := inProcess(t, "", append([]string{"checkpoint"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) || !strings.Contains(stderr, "hint:") {
			t.Errorf("%v: exit code %d, want %d; said\n%s", c.args, code, c.code, stderr)
		}
	}
}

func TestTheStatePlanIsShown(t *testing.T) {
	file, data := stoppedPipeline(t)
	epoch := epochs(t, file, data)[1]
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	named := tempFile(t, "named.yaml", strings.NewReplacer("  a: {", "  hourly: {", "from: a", "from: hourly").Replace(string(text)))
	other := tempFile(t, "other.yaml", strings.ReplaceAll(string(text), "avg(temperature)", "max(temperature)"))
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{file}, exitDone, `step    a  kept`},
		{[]string{named}, exitRefused, `step +a +dropped`},
		{[]string{named}, exitRefused, `step +hourly +new`},
		{[]string{named, "--drop-state"}, exitDone, `step +a +dropped`},
		{[]string{named, "--rename", "a=hourly"}, exitDone, `step +hourly \(was a\) +kept`},
		{[]string{named, "--rename", "x=hourly"}, exitRefused, `has no step, source or sink x to rename`},
		{[]string{named, "--rename", "hourly"}, exitUsage, `must be old=new`},
		{[]string{other}, exitRefused, `job: max\(temperature float64\)`},
		{[]string{file, "--from", "987654"}, exitFailed, `there is no checkpoint of epoch`},
		{[]string{file, "--from", "/does/not/exist"}, exitFailed, `there is no checkpoint store`},
		{[]string{file, "--format", "json"}, exitUsage, `--state is text`},
	} {
		args := append([]string{"plan", "--state", "--data", data}, c.args...)
		if !strings.Contains(strings.Join(args, " "), "--from") {
			args = append(args, "--from", epoch)
		}
		code, out, stderr := inProcess(t, "", args...)
		if code != c.code || !regexp.MustCompile(c.says).MatchString(out+stderr) {
			t.Errorf("%v: exit code %d, want %d; said\n%s%s", c.args, code, c.code, out, stderr)
		}
	}
	if code, _, _ := inProcess(t, "", "plan", file, "--from", epoch); code != exitUsage {
		t.Errorf("--from without --state: exit code %d", code)
	}
}
