using Penstock.Interop;
using static Penstock.VfioUser.Tests.MigrationWire;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 19, GET_PRECOPY_INFO of newer texts.</summary>
public sealed class PrecopyInfoTests : IDisposable
{
    private readonly ServedMovable _rig = new();

    public void Dispose() => _rig.Dispose();

    [Theory]
    [InlineData(PreCopy)]
    [InlineData(PreCopyP2P)]
    public void PrecopyInfo_WhileItWorks_TellsWhatIsLeft(uint state)
    {
        Assert.Equal(Errno.None, _rig.Client.Move(state));
        WireMessage first = Info();
        Assert.Equal((24, 24u, 0u), (first.Body.Length, first.U32(0), first.U32(4)));
        Assert.True(first.U64(8) + first.U64(16) >= MovableFunction.StorageSize, "nothing to copy?");
        Assert.Equal(0u, _rig.Client.Call(Cmd.MigRead, MigRead(Cmd.Megabyte)).Error);
        WireMessage second = Info();
        Assert.Equal(first.U64(8) + first.U64(16) - Cmd.Megabyte, second.U64(8) + second.U64(16));
    }

    [Theory]
    [InlineData(Running)]
    [InlineData(Stop)]
    [InlineData(StopCopy)]
    [InlineData(Resuming)]
    [InlineData(RunningP2P)]
    public void PrecopyInfo_AnotherState_IsEinval(uint state)
    {
        Assert.Equal(Errno.None, _rig.Client.Move(state));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.PrecopyInfo, Request(24)));
    }

    [Theory]
    [InlineData(24u, 0)]
    [InlineData(24u, 23)]
    [InlineData(23u, 24)]
    [InlineData(0u, 24)]
    public void PrecopyInfo_TooSmall_IsEinval(uint argsz, int length)
    {
        Assert.Equal(Errno.None, _rig.Client.Move(PreCopy));
        Assert.Equal(Errno.EINVAL, _rig.Client.Try(Cmd.PrecopyInfo, Request(argsz)[..length]));
    }

    [Fact]
    public void PrecopyInfo_DeviceThatDoesNotMigrate_IsEinval()
    {
        using var other = new ServedFunction();
        using WireClient client = other.Connect();
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.PrecopyInfo, Request(24)));
    }

    private static byte[] Request(uint argsz) => new Payload().U32(argsz, 0).U64(0, 0);

    private WireMessage Info()
    {
        WireMessage reply = _rig.Client.Call(Cmd.PrecopyInfo, Request(24));
        Assert.Equal(0u, reply.Error);
        return reply;
    }
}
