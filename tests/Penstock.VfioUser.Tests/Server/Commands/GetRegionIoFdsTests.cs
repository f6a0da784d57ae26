using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 6, DEVICE_GET_REGION_IO_FDS.</summary>
public sealed partial class GetRegionIoFdsTests
{
    [Theory]
    [InlineData(16u, 0u)]
    [InlineData(4096u, 2u)]
    [InlineData(1u << 20, 7u)]
    public void GetRegionIoFds_RegionWithoutDoorbells_HasNone(uint argsz, uint index)
    {
        using var served = new ServedFunction();
        using WireClient client = served.Connect();
        byte[] expected = new Payload().U32(16, 0, index, 0);
        Assert.Equal(expected, client.Call(Cmd.GetRegionIoFds, Request(index, argsz)).Body);
    }

    [Theory]
    [InlineData(15u, 0u, 0u, 0u, 16)]
    [InlineData((1u << 20) + 1, 0u, 0u, 0u, 16)]
    [InlineData(16u, 1u, 0u, 0u, 16)]
    [InlineData(16u, 0u, 0u, 1u, 16)]
    [InlineData(16u, 0u, 1u, 0u, 16)]
    [InlineData(16u, 0u, 6u, 0u, 16)]
    [InlineData(16u, 0u, 8u, 0u, 16)]
    [InlineData(16u, 0u, 9u, 0u, 16)]
    [InlineData(16u, 0u, uint.MaxValue, 0u, 16)]
    [InlineData(16u, 0u, 0u, 0u, 0)]
    [InlineData(16u, 0u, 0u, 0u, 15)]
    public void GetRegionIoFds_BadFieldAbsentRegionOrShort_IsEinval(uint argsz, uint flags, uint index, uint count, int length)
    {
        using var served = new ServedFunction(function: new BellFunction());
        using WireClient client = served.Connect();
        byte[] body = new Payload().U32(argsz, flags, index, count);
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.GetRegionIoFds, body[..length]));
        client.AssertAlive();
    }

    /// <summary>The published entry of 40 bytes; the C library's has 48.</summary>
    [Fact]
    public void GetRegionIoFds_Memory_TellsEntriesNewestFirstWithSharedDescriptorsOnce()
    {
        using var served = new ServedFunction(function: new BellFunction());
        using WireClient client = served.Connect();
        WireMessage reply = client.Call(Cmd.GetRegionIoFds, Request(0, 16 + (6 * 40)), out SafeFileHandle[] events);
        Payload expected = new Payload().U32(16 + (6 * 40), 0, 0, 6);
        Entry(expected, 0x50, 1, 0, 0, 0);
        Entry(expected, 0x48, 4, 1, 0, 0);
        Entry(expected, 0x40, 8, 1, 1, ulong.MaxValue);
        Entry(expected, 0x30, 0, 2, 0, 0);
        Entry(expected, 0x20, 2, 3, 0, 0);
        Entry(expected, 0x10, 4, 4, 1, 7);
        Assert.Equal((byte[])expected, reply.Body);
        Assert.Equal(5, events.Length);
        events.DisposeAll();
    }

    [Fact]
    public void GetRegionIoFds_Ports_SaySo()
    {
        using var served = new ServedFunction(function: new BellFunction());
        using WireClient client = served.Connect();
        WireMessage reply = client.Call(Cmd.GetRegionIoFds, Request(2, 4096), out SafeFileHandle[] events);
        Payload expected = new Payload().U32(56, 0, 2, 1);
        Entry(expected, 8, 1, 0, 3, 0xff);
        Assert.Equal((byte[])expected, reply.Body);
        Assert.Single(events);
        events.DisposeAll();
    }

    [Theory]
    [InlineData(16u)]
    [InlineData(55u)]
    [InlineData(255u)]
    public void GetRegionIoFds_NotAllFit_TellsHowManyAndSendsNone(uint argsz)
    {
        using var served = new ServedFunction(function: new BellFunction());
        using WireClient client = served.Connect();
        WireMessage reply = client.Call(Cmd.GetRegionIoFds, Request(0, argsz), out SafeFileHandle[] events);
        Assert.Equal((byte[])new Payload().U32(256, 0, 0, 6), reply.Body);
        Assert.Empty(events);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(8, 8)]
    [InlineData(16, 16)]
    [InlineData(1000, 16)]
    public void GetRegionIoFds_MoreDescriptorsThanFitIntoAMessage_AreLeftOut(int limit, int expected)
    {
        using var served = new ServedFunction(function: new BellFunction());
        using WireClient client = served.Connect($$$"""{"capabilities":{"max_msg_fds":{{{limit}}}}}""");
        WireMessage reply = client.Call(Cmd.GetRegionIoFds, Request(3, 4096), out SafeFileHandle[] events);
        Assert.Equal((uint)expected, reply.U32(12));
        Assert.Equal(16 + (expected * 40), reply.Body.Length);
        Assert.Equal((BellFunction.Many - 1) * 4ul, reply.U64(16));
        Assert.Equal(expected, events.Length);
        events.DisposeAll();
    }

    [Fact]
    public void GetRegionIoFds_SharedDescriptorAtTheLimit_KeepsAllItsEntries()
    {
        using var served = new ServedFunction(function: new BellFunction());
        using WireClient client = served.Connect("""{"capabilities":{"max_msg_fds":2}}""");
        WireMessage reply = client.Call(Cmd.GetRegionIoFds, Request(0, 4096), out SafeFileHandle[] events);
        Assert.Equal((3u, 2), (reply.U32(12), events.Length));
        events.DisposeAll();
    }

    [Fact]
    public void GetRegionIoFds_ClientThatTakesNoDescriptors_HasNone()
    {
        using var served = new ServedFunction(function: new BellFunction());
        using WireClient client = served.Connect("""{"capabilities":{"max_msg_fds":0}}""");
        Assert.Equal((byte[])new Payload().U32(16, 0, 0, 0), client.Call(Cmd.GetRegionIoFds, Request(0, 4096)).Body);
    }

    [Theory]
    [InlineData(0u, 4, "0 10 07000000")]
    [InlineData(0u, 3, "0 20 0000")]
    [InlineData(0u, 2, "0 30 00000000")]
    [InlineData(0u, 1, "shared")]
    [InlineData(2u, 0, "2 8 ff")]
    public void Signal_IsTheFunctionsWrite(uint region, int descriptor, string seen)
    {
        var function = new BellFunction();
        using var served = new ServedFunction(function: function);
        using (WireClient client = served.ConnectEnabled())
        {
            client.Call(Cmd.GetRegionIoFds, Request(region, 4096), out SafeFileHandle[] events);
            Signal(events[descriptor]);
            Handles.Await(() => function.Seen.Contains(seen), seen);
            Assert.Single(function.Seen);
            events.DisposeAll();
        }

        served.NextEnd();
        served.AssertBalanced();
    }

    [Fact]
    public void Signal_ThatTheModelFails_IsLoggedAndTheNextOneWorks()
    {
        var function = new BellFunction();
        using var served = new ServedFunction(function: function);
        using WireClient client = served.ConnectEnabled();
        client.Call(Cmd.GetRegionIoFds, Request(0, 4096), out SafeFileHandle[] events);
        Signal(events[0]);
        Handles.Await(() => served.Log.Any(static l => l.Contains("doorbell of bar 0 offset 0x50", StringComparison.Ordinal)), "a line in the log");
        Signal(events[1]);
        Handles.Await(() => function.Seen.Contains("shared"), "the other doorbell");
        events.DisposeAll();
    }

    [Fact]
    public void Signal_DecodingOff_IsDropped()
    {
        var function = new BellFunction();
        using var served = new ServedFunction(function: function);
        using WireClient client = served.ConnectEnabled();
        client.Call(Cmd.GetRegionIoFds, Request(0, 4096), out SafeFileHandle[] events);
        client.Write(Cmd.ConfigRegion, 4, 0, 0);
        Signal(events[1]);

        // The strand takes one after the other, so that the doorbell was looked at once the ports' one has been.
        client.Call(Cmd.GetRegionIoFds, Request(2, 4096), out SafeFileHandle[] ports);
        Handles.Await(() => !HasSignal(events[1]), "the signal is taken");
        Signal(ports[0]);
        Handles.Await(() => function.Seen.Contains("2 8 ff"), "the ports' doorbell");
        Assert.DoesNotContain("shared", function.Seen);
        client.Write(Cmd.ConfigRegion, 4, 7, 0);
        Signal(events[1]);
        Handles.Await(() => function.Seen.Contains("shared"), "the doorbell");
        events.DisposeAll();
        ports.DisposeAll();
    }

    [Fact]
    public void Signal_FromBeforeAReset_HasNoEffectAfterIt()
    {
        var function = new BellFunction();
        using var served = new ServedFunction(function: function);
        using WireClient client = served.ConnectEnabled();
        client.Call(Cmd.GetRegionIoFds, Request(0, 4096), out SafeFileHandle[] events);
        using var leave = new ManualResetEventSlim();
        function.Port.Strand.Post(() => leave.Wait());
        Signal(events[1]);
        Handles.Await(() => !HasSignal(events[1]), "the signal is taken");

        // One after the other: the second one's taking says that the first is on its way to the strand.
        Signal(events[4]);
        Handles.Await(() => !HasSignal(events[4]), "the second signal is taken");
        ushort id = client.Send(Cmd.Reset, []);
        leave.Set();
        Assert.Equal(0u, client.ReceiveReply(id, Cmd.Reset).Error);
        Signal(events[3]);
        Handles.Await(() => function.Seen.Contains("0 20 0000"), "a later signal");
        Assert.DoesNotContain("shared", function.Seen);
        events.DisposeAll();
    }

    [Fact]
    public void Signal_OfAClientThatIsGone_ReachesNobody()
    {
        var function = new BellFunction();
        using var served = new ServedFunction(function: function);
        SafeFileHandle[] old;
        using (WireClient first = served.ConnectEnabled())
        {
            first.Call(Cmd.GetRegionIoFds, Request(0, 4096), out old);
        }

        served.NextEnd();
        served.AssertBalanced();
        using WireClient second = served.ConnectEnabled();
        second.Call(Cmd.GetRegionIoFds, Request(0, 4096), out SafeFileHandle[] events);
        Signal(old[1]);
        Signal(events[4]);
        Handles.Await(() => function.Seen.Contains("0 10 07000000"), "the second client's signal");
        Assert.Single(function.Seen);
        Assert.True(HasSignal(old[1]));
        events.DisposeAll();
        old.DisposeAll();
    }

    [Fact]
    public void Flood_OfSignals_IsTakenInFew()
    {
        var function = new BellFunction();
        using var served = new ServedFunction(function: function);
        using WireClient client = served.ConnectEnabled();
        client.Call(Cmd.GetRegionIoFds, Request(0, 4096), out SafeFileHandle[] events);
        for (int i = 0; i < 10_000; i++)
        {
            Signal(events[1]);
            Signal(events[4]);
        }

        Handles.Await(() => function.Seen.Contains("shared") && function.Seen.Contains("0 10 07000000"), "both");
        Assert.InRange(function.Seen.Count, 2, 20_000);
        client.AssertAlive();
        events.DisposeAll();
    }

    private static byte[] Request(uint index, uint argsz) => new Payload().U32(argsz, 0, index, 0);

    private static void Entry(Payload to, ulong offset, ulong size, uint descriptor, uint flags, ulong match) =>
        to.U64(offset, size).U32(descriptor, 0, flags, 0).U64(match);

    private static void Signal(SafeFileHandle eventfd)
    {
        ulong one = 1;
        Assert.Equal(8, write(eventfd.Number(), ref one, 8));
    }

    private static bool HasSignal(SafeFileHandle eventfd) => (Poll.Wait(eventfd.Number(), PollEvents.In, TimeSpan.Zero) & PollEvents.In) != 0;

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(int fd, ref ulong value, nuint size);
}
