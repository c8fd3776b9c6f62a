"""The interface as other systems are told of it: AsyncAPI, event frames, snapshots."""
