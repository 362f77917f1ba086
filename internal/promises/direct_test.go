package promises_test

import "testing"

// What is promised holds over the direct transport, too.
func TestOverTheDirectTransport(t *testing.T) {
	direct = true
	defer func() { direct = false }()
	for name, test := range map[string]func(*testing.T){
		"every call ends once and on time":              TestEveryCallEndsOnceAndOnTime,
		"a caller that sends learns of the end":         TestACallerThatSendsLearnsOfTheEnd,
		"a handler learns that its caller has gone":     TestAHandlerLearnsThatItsCallerHasGone,
		"silence is noticed within two heartbeats":      TestSilenceIsNoticedWithinTwoHeartbeats,
		"heartbeats keep an idle session":               TestHeartbeatsKeepAnIdleSession,
		"the outcome is right":                          TestTheOutcomeIsRight,
		"a push goes to the owner of the name":          TestAPushGoesToTheOwnerOfTheName,
		"a client that comes back owns its name":        TestAClientThatComesBackOwnsItsName,
		"the callers of a lost client are told at once": TestTheCallersOfALostClientAreToldAtOnce,
		"distance does not make it slow":                TestDistanceDoesNotMakeItSlow,
		"small calls beside a large transfer":           TestSmallCallsBesideALargeTransfer,
		"a stalled call delays no other":                TestAStalledCallDelaysNoOther,
		"what a stalled call holds is bounded":          TestWhatAStalledCallHoldsIsBounded,
		"the memory of stalled calls is bounded":        TestTheMemoryOfStalledCallsIsBounded,
	} {
		t.Run(name, test)
	}
}
