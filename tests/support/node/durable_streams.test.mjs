// The conformance tests of the Durable Streams protocol, for a server that is there already.
import { runConformanceTests } from "@durable-streams/server-conformance-tests";

runConformanceTests({ baseUrl: process.env.STREAMS_URL, longPollTimeoutMs: 2000 });
