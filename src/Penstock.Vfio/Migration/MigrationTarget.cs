using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Where a device's state is written to, in pieces of any length. Nothing changes in the device before <see cref="Finish"/>. Calls come
/// one at a time.
/// </summary>
public abstract class MigrationTarget
{
    /// <summary>
    /// Whether the session has ended, by a reset or a close. <see cref="Finish"/> looks at it where the device cannot be reset in between,
    /// and then changes nothing. May be read from any thread.
    /// </summary>
    public bool HasEnded => Session is { HasEnded: true };

    internal MigrationSession? Session { get; set; }

    /// <summary>Takes the next bytes.</summary>
    /// <param name="source">The bytes.</param>
    /// <returns>None when all were taken; EINVAL: they cannot be part of such a state, and nothing that follows is taken either.</returns>
    public abstract Errno Write(ReadOnlySpan<byte> source);

    /// <summary>Everything has been written: checks it as a whole and puts it into the device.</summary>
    /// <exception cref="VfioException">EINVAL: the bytes are no whole and consistent state of such a device; the text says why.</exception>
    public abstract void Finish();
}
