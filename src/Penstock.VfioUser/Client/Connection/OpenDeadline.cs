using System.Diagnostics;

namespace Penstock.VfioUser;

/// <summary>The end of the time that opening a device may take in all.</summary>
/// <param name="time">How long, from now on.</param>
internal sealed class OpenDeadline(TimeSpan time)
{
    private readonly long _begun = Stopwatch.GetTimestamp();

    /// <summary>How long it may take in all.</summary>
    public TimeSpan Time => time;

    /// <summary>What is left; zero when it is over.</summary>
    public TimeSpan Left => Stopwatch.GetElapsedTime(_begun) is var gone && gone < time ? time - gone : TimeSpan.Zero;
}
