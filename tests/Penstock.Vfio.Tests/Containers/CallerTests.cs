using Penstock.Interop;

namespace Penstock.Vfio.Tests;

public sealed class CallerTests
{
    [Fact]
    public void Current_IsThisProcess()
    {
        Caller caller = Caller.Current;
        Assert.Equal(CurrentProcess.UserId, caller.UserId);
        Assert.NotEqual(0ul, caller.MemlockLimit);
    }

    [Fact]
    public void ForPeer_OnlyRootHasRawIo()
    {
        Assert.True(Caller.ForPeer(0, 7).RawIo);
        Assert.False(Caller.ForPeer(1000, 7).RawIo);
        Assert.Equal(7, Caller.ForPeer(1000, 7).ProcessId);
    }
}
