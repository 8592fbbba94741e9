package app

// ScopeProblems is what the scopes of an app are refused for.
var ScopeProblems = scopeProblems
