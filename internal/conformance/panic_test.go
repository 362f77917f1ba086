package conformance

const panicEnv = "PUSHTUNNEL_PANIC"

func panicInHandler(string) {}
