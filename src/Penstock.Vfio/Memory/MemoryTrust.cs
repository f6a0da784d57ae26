using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Whether a peer's memory may be touched directly. Whoever touches a page that its owner took away is killed, so this is a question
/// of whom to trust.
/// </summary>
public static class MemoryTrust
{
    private const uint Root = 0;

    /// <summary>Decides about one file.</summary>
    /// <param name="facts">The file.</param>
    /// <param name="peerUserId">User id of the peer, from the socket's credentials.</param>
    /// <param name="ownUserId">Our own user id.</param>
    /// <param name="guard">Never borrow.</param>
    /// <param name="why">The reason, for the log.</param>
    /// <returns>How to use the file.</returns>
    public static MemoryUse Choose(in FileFacts facts, uint peerUserId, uint ownUserId, bool guard, out string why)
    {
        if (guard)
        {
            why = "copied: guarding was asked for";
            return MemoryUse.Copy;
        }

        // Huge pages can be taken away even from a sealed file.
        if (facts.IsRegular && !facts.IsHugePages && (facts.Seals & MemorySeals.Shrink) != 0)
        {
            why = "borrowed: the file is sealed against shrinking";
            return MemoryUse.Borrow;
        }

        if (peerUserId == ownUserId || peerUserId == Root)
        {
            why = "borrowed: the peer runs as our own user or as root, who could end this process anyway";
            return MemoryUse.Borrow;
        }

        why = "copied: the file is not sealed and the peer runs as another user";
        return MemoryUse.Copy;
    }
}
