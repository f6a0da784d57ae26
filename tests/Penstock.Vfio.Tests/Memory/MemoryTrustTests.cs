using Penstock.Interop;

namespace Penstock.Vfio.Tests;

public sealed class MemoryTrustTests
{
    [Theory]
    [InlineData(MemorySeals.None, 1000u, 1000u, false, MemoryUse.Borrow)]
    [InlineData(MemorySeals.None, 0u, 1000u, false, MemoryUse.Borrow)]
    [InlineData(MemorySeals.None, 1001u, 1000u, false, MemoryUse.Copy)]
    [InlineData(MemorySeals.None, 1001u, 0u, false, MemoryUse.Copy)]
    [InlineData(MemorySeals.Grow, 1001u, 1000u, false, MemoryUse.Copy)]
    [InlineData(MemorySeals.Shrink, 1001u, 1000u, false, MemoryUse.Borrow)]
    [InlineData(MemorySeals.Shrink, 1000u, 1000u, true, MemoryUse.Copy)]
    public void Choose_ByFileAndPeer(MemorySeals seals, uint peer, uint own, bool guard, MemoryUse expected)
    {
        using MemoryFile file = MemoryFile.Create("guest", 4096, seals);
        Assert.Equal(expected, MemoryTrust.Choose(FileFacts.Of(file.Descriptor.Value), peer, own, guard, out string why));
        Assert.StartsWith(expected == MemoryUse.Borrow ? "borrowed" : "copied", why, StringComparison.Ordinal);
    }
}
