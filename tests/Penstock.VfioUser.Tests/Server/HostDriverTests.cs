using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;
using Penstock.Devices;
using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>
/// Host drivers in user space, with what they send and no more: every message has id 0, VERSION has no JSON. The NVMe one takes long region
/// replies, maps doorbells, sets of the command register only Bus Master and Interrupt Disable, and brings the descriptor again at DMA_UNMAP.
/// </summary>
public sealed class HostDriverTests
{
    private const uint CardRegion = 2;
    private const ulong MemorySize = 1 << 20;
    private const ulong MemoryAt = 0x2000_0020_0000;
    private const ulong Submissions = 0x1_0000;
    private const ulong Completions = 0x2_0000;
    private const ulong Data = 0x3_0000;

    [Fact]
    public void NvmeHostDriver_FromVersionToShutdown_FindsADisk()
    {
        using var disk = new NvmeFunction(new MemoryNvmeBacking(1 << 20), new NvmeOptions { Poll = true, IoQueues = 4 });
        using var served = new ServedFunction(function: disk);
        using (WireClient client = served.ConnectRaw())
        using (MemoryFile memory = Handles.Memory(MemorySize))
        {
            Assert.Equal((byte[])new Payload().U16(0, 1), Ask(client, Cmd.Version, new Payload().U16(0, 1))[..4]);
            Assert.Equal((byte[])new Payload().U32(16, 3, 9, 5), Ask(client, Cmd.GetInfo, new Payload().U32(16, 0, 0, 0)));
            using (MemoryMapping doorbells = MapDoorbells(client))
            {
                Ask(client, Cmd.DmaMap, WireClient.Map(MemoryAt, MemorySize), memory.Number());
                ushort command = BinaryPrimitives.ReadUInt16LittleEndian(Read(client, Cmd.ConfigRegion, 4, 2));
                Write(client, Cmd.ConfigRegion, 4, new Payload().U16((ushort)(command | 0x0404)));

                Assert.NotEqual(0u, Read(client, 0, 0, 8)[3]);
                Write(client, 0, 0x28, new Payload().U64(MemoryAt + Submissions));
                Write(client, 0, 0x30, new Payload().U64(MemoryAt + Completions));
                Write(client, 0, 0x24, new Payload().U32(0x00ff_00ff));
                Write(client, 0, 0x14, new Payload().U32(0x0046_0001));
                Assert.Equal((byte[])new Payload().U32(1), Read(client, 0, 0x1c, 4));

                Identify(memory, doorbells);
                Write(client, 0, 0x14, new Payload().U32(0x0046_4001));
                Handles.Await(() => Read(client, 0, 0x1c, 4)[0] == 0x9, "the shutdown is complete");
            }

            Ask(client, Cmd.DmaUnmap, WireClient.Unmap(MemoryAt, MemorySize), memory.Number());
        }

        Assert.Equal(SessionEndKind.ClientClosed, served.NextEnd().Kind);
        served.AssertBalanced();
    }

    [Fact]
    public void CardHostDriver_ThatEnablesNothing_ReachesThePorts()
    {
        using var served = new ServedFunction(function: new Idio16Function(0x8421));
        using (WireClient client = Greet(served))
        {
            Assert.Equal([0x4f, 0x49, 0xc8, 0x0d, 1, 0], Read(client, Cmd.ConfigRegion, 0, 6));
            Assert.Equal([0, 0x21], Read(client, CardRegion, 0, 2));
            Assert.Equal([0, 0x84], Read(client, CardRegion, 4, 2));
            Write(client, CardRegion, 0, [0x5a]);
            Assert.Equal([0x5a], Read(client, CardRegion, 0, 1));
        }

        Assert.Equal(SessionEndKind.ClientClosed, served.NextEnd().Kind);
        served.AssertBalanced();
    }

    [Fact]
    public void CardHostDriver_CommandRegister_StaysOverResetAndIsSetAnewForTheNextClient()
    {
        using var served = new ServedFunction(function: new Idio16Function());
        using (WireClient client = Greet(served))
        {
            Write(client, Cmd.ConfigRegion, 4, [0, 4]);
            Ask(client, Cmd.Reset, []);
            Assert.Equal([0, 4], Read(client, Cmd.ConfigRegion, 4, 2));
        }

        Assert.Equal(SessionEndKind.ClientClosed, served.NextEnd().Kind);
        using WireClient next = Greet(served);
        Assert.Equal([1, 0], Read(next, Cmd.ConfigRegion, 4, 2));
    }

    private static WireClient Greet(ServedFunction served)
    {
        WireClient client = served.ConnectRaw();
        Ask(client, Cmd.Version, new Payload().U16(0, 1));
        return client;
    }

    private static MemoryMapping MapDoorbells(WireClient client)
    {
        client.SendBytes(WireClient.Message(0, Cmd.GetRegionInfo, [.. (byte[])new Payload().U32(4064, 0, 0, 0).U64(0, 0), .. new byte[4064 - 32]]));
        WireMessage reply = client.Receive(out SafeFileHandle[] files);
        using SafeFileHandle file = Assert.Single(files);
        Assert.Equal((0xfu, 32u), (reply.U32(4), reply.U32(12)));
        Assert.Equal((byte[])new Payload().U16(1, 1), reply.Body[32..36]);
        Assert.Equal((byte[])new Payload().U32(1, 0).U64(0x1000, 0x1000), reply.Body[40..64]);
        return MemoryMapping.Map(file.Number(), reply.U64(24) + 0x1000, 0x1000, MemoryProtection.ReadWrite);
    }

    /// <summary>One Identify Controller through the mapped doorbells.</summary>
    private static unsafe void Identify(MemoryFile memory, MemoryMapping doorbells)
    {
        byte[] identify = new Payload().U32(0x0000_0006, 0, 0, 0, 0, 0).U64(MemoryAt + Data, 0).U32(1, 0, 0, 0, 0, 0);
        Assert.Equal(Errno.None, DescriptorIO.WriteAt(memory.Number(), Submissions, identify, out _));

        // SAFETY: the mapping is a page long; the tail of queue 0 is its first word.
        Volatile.Write(ref *(uint*)doorbells.Pointer, 1);
        Handles.Await(() => memory.Content(Completions + 14, 2)[0] == 1, "Identify is completed");
        Assert.Equal(0, memory.Content(Completions + 14, 2)[1]);
        Assert.Equal(0x66, memory.Content(Data + 512, 1)[0]);
    }

    private static byte[] Read(WireClient client, uint region, ulong offset, uint count) =>
        Ask(client, Cmd.RegionRead, WireClient.Access(offset, region, count))[16..];

    private static void Write(WireClient client, uint region, ulong offset, byte[] data) =>
        Ask(client, Cmd.RegionWrite, [.. WireClient.Access(offset, region, (uint)data.Length), .. data]);

    private static byte[] Ask(WireClient client, ushort command, byte[] body, params ReadOnlySpan<int> descriptors)
    {
        client.SendBytes(WireClient.Message(0, command, body), descriptors);
        WireMessage reply = client.Receive();
        Assert.Equal((0, command, Cmd.TypeReply, 0u), (reply.Id, reply.Command, reply.Flags, reply.Error));
        return reply.Body;
    }
}
