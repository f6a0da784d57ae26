using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 13, DEVICE_RESET.</summary>
public sealed class ResetTests : IDisposable
{
    private readonly ServedFunction _served = new();
    private readonly WireClient _client;

    public ResetTests() => _client = _served.ConnectEnabled();

    public void Dispose()
    {
        _client.Dispose();
        _served.Dispose();
    }

    [Fact]
    public void Reset_BareHeader_ResetsTheFunctionAndHasNoPayload()
    {
        _client.Write(0, 0, 1, 2, 3);
        int before = _served.Function.Resets;
        WireMessage reply = _client.Call(Cmd.Reset, []);
        Assert.Equal(0u, reply.Error);
        Assert.Equal(16u, reply.Size);
        Assert.Equal(before + 1, _served.Function.Resets);

        // The host restores its registers, so memory decoding is still on.
        Assert.Equal([7, 0], _client.Read(Cmd.ConfigRegion, 4, 2));
        Assert.Equal(new byte[3], _client.Read(0, 0, 3));
    }

    [Fact]
    public void Reset_KeepsMapsAndEventfds()
    {
        using MemoryFile memory = Handles.Memory(0x1000, 8);
        using var e = EventDescriptor.Create();
        _client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x1000), memory.Number());
        _client.Succeed(Cmd.SetIrqs, WireClient.Irqs(4 | 32, 2, 0, 1), e.Number());
        _client.Succeed(Cmd.Reset, []);
        _client.EnableDevice();
        Assert.Equal(Errno.None, _served.DmaRead(0, new byte[8]));
        _served.Function.Port.SignalVector(0);
        Assert.Equal(1UL, e.Drain());
    }

    [Fact]
    public void Reset_QemusMachineReset_WorksStepByStep()
    {
        using var e = EventDescriptor.Create();
        byte[] bind = WireClient.Irqs(4 | 32, 0, 0, 1);
        _client.Succeed(Cmd.SetIrqs, bind, e.Number());
        for (int i = 0; i < 3; i++)
        {
            _client.Succeed(Cmd.SetIrqs, WireClient.Irqs(1 | 32, 0, 0, 0));
            byte[] command = _client.Read(Cmd.ConfigRegion, 4, 2);
            _client.Write(Cmd.ConfigRegion, 4, (byte)(command[0] & 0xf8), command[1]);
            _client.Succeed(Cmd.Reset, []);
            _client.Succeed(Cmd.SetIrqs, bind, e.Number());
            for (ulong bar = 0x10; bar < 0x28; bar += 4)
            {
                _client.Write(Cmd.ConfigRegion, bar, 0, 0, 0, 0);
            }
        }
    }

    [Fact]
    public void Reset_NoReplyWanted_IsDoneSilently()
    {
        int before = _served.Function.Resets;
        _client.Send(Cmd.Reset, [], Cmd.NoReply);
        _client.AssertAlive();
        Assert.Equal(before + 1, _served.Function.Resets);
    }

    [Fact]
    public async Task Reset_WhileMessageDmaIsUnderWay_IsAnswered()
    {
        _client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x1000));
        Task<Errno> work = _served.OnStrand(() => _served.DmaRead(0, new byte[4]));
        WireMessage command = _client.Receive();
        _client.Succeed(Cmd.Reset, []);
        _client.Answer(command, [.. command.Body, 1, 2, 3, 4]);
        Assert.Equal(Errno.None, await work);
    }
}
