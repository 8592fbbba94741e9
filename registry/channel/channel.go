// Package channel is the two streams of versions that a plugin has. What is stable
// is in beta, too: who follows beta gets whichever is newer.
//
//	channel.Of("2.0.0-rc.1") // beta
//	channel.Beta.Gives(channel.Stable) // true
//
// A pre-release (<https://semver.org/#spec-item-9>) is never stable.
package channel

import (
	"fmt"

	"golang.org/x/mod/semver"
)

// Channel is a stream of versions that installations can follow.
type Channel string

// The channels.
const (
	Stable Channel = "stable"
	Beta   Channel = "beta"
)

// Of is the channel that a version is published to if nobody says otherwise.
func Of(version string) Channel {
	if IsPrerelease(version) {
		return Beta
	}
	return Stable
}

// IsPrerelease says whether a semantic version is a pre-release.
func IsPrerelease(version string) bool { return semver.Prerelease("v"+version) != "" }

// Parse reads a channel's name.
func Parse(s string) (Channel, error) {
	switch c := Channel(s); c {
	case Stable, Beta:
		return c, nil
	default:
		return "", fmt.Errorf("%.64q is not a channel: it is %s or %s", s, Stable, Beta)
	}
}

// Gives says whether who follows c gets the versions of another channel.
func (c Channel) Gives(other Channel) bool { return c == other || c == Beta && other == Stable }
