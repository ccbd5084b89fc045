// Package checkpoint is how a job becomes able to go on after a crash: the
// coordinator that decides what happens when, the manifest of a checkpoint, and the
// contract of the stores that keep it.
//
// # The protocol
//
// Work is cut into epochs by barriers. For each epoch, in this order:
//
//	E1  Barrier: every source takes a barrier into its sequence of blocks; tasks pass
//	    it when it has come from all inputs, copy their state and cut their sinks' output.
//	E2  Persist: state and prepared output are made durable.
//	E3  Decide: the manifest takes its name in the store (Store.Claim). This is the
//	    one commit: before it nothing of the epoch counts, behind it all of it does.
//	E4  Commit: sinks make the output visible. It may be repeated.
//	E5  Release: sources let go of input that no kept checkpoint needs; old
//	    manifests and segments are deleted.
//
// One epoch is under way at a time: the next barrier leaves behind E5. An engine
// claims an opening manifest when it starts, so that one that still runs on the same
// store fails at its next decision.
//
// # What is where
//
// Manifests are "manifests/" and the epoch in 16 hex digits, without gaps (History says
// why), segments "chunks/" and the SHA-256 of their bytes. A segment's bytes hold its
// epoch and the run that wrote it, so that no two epochs have one in common and a
// deletion never meets a new upload.
//
// The package does not know operators, tasks or where a store lives.
package checkpoint
