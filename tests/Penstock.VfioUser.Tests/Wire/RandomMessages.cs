using System.Buffers.Binary;

namespace Penstock.VfioUser.Tests;

/// <summary>Messages that are nearly right: every command with plausible fields, then up to three bytes of it changed.</summary>
internal sealed class RandomMessages(Random random)
{
    private const int UnsoundOneIn = 2000;

    /// <summary>The next message.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="sound">Whether its length is right; mostly, or nearly everything would only test the framing.</param>
    public byte[] Next(ushort id, out bool sound)
    {
        (ushort command, byte[] body) = Command();
        byte[] message = WireClient.Message(id, command, body, random.Next(6) == 0 ? Cmd.NoReply : 0);
        for (int n = random.Next(4); n > 0; n--)
        {
            int at = random.Next(2, message.Length);
            message[at] = random.Next(3) switch
            {
                0 => (byte)random.Next(),
                1 => byte.MaxValue,
                _ => (byte)(message[at] ^ (1 << random.Next(8))),
            };
        }

        sound = random.Next(UnsoundOneIn) != 0;
        uint size = sound ? (uint)message.Length : random.Next(2) == 0 ? (uint)random.Next(16) : (uint)random.Next((1 << 20) + 33, int.MaxValue);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), size);
        return message;
    }

    private (ushort Command, byte[] Body) Command()
    {
        ulong page = (ulong)random.Next(64) << 12;
        uint small = (uint)random.Next(12);
        return random.Next(22) switch
        {
            0 => (Cmd.Version, WireClient.Version(0, WireClient.QemuJson)),
            1 or 2 => (Cmd.DmaMap, WireClient.Map(page, 0x1000ul << random.Next(8), (uint)random.Next(1, 16), page)),
            3 => (Cmd.DmaUnmap, WireClient.Unmap(page, 0x1000ul << random.Next(8), (uint)(random.Next(8) == 0 ? 2 : 0))),
            4 => (Cmd.DmaUnmap, MigrationWire.UnmapDirty(page, 0x1000, 0x1000, (ulong)random.Next(64))),
            5 => (Cmd.GetInfo, (byte[])new Payload().U32(16, 0, 0, 0)),
            6 => (Cmd.GetRegionInfo, new Payload().U32(random.Next(2) == 0 ? 32u : 4096, 0, small, 0).U64(0, 0)),
            7 => (Cmd.GetRegionIoFds, new Payload().U32(random.Next(2) == 0 ? 16u : 4096, 0, small, 0)),
            8 => (Cmd.GetIrqInfo, new Payload().U32(16, 0, small, 0)),
            9 or 10 => (Cmd.SetIrqs, WireClient.Irqs(1u << random.Next(3) | 8u << random.Next(3), (uint)random.Next(5), (uint)random.Next(4), (uint)random.Next(4))),
            11 => (Cmd.RegionRead, WireClient.Access((ulong)random.Next(300), small, (uint)random.Next(64))),
            12 or 13 => (Cmd.RegionWrite, Write(small, random.Next(64))),
            14 => (Cmd.RegionWrite, [.. WireClient.Access((ulong)random.Next(3) * 8, 0, 2), (byte)random.Next(64), 0]),
            15 => (Cmd.RegionWrite, [.. WireClient.Access(4, Cmd.ConfigRegion, 2), (byte)random.Next(8), 0]),
            16 => (Cmd.WriteMulti, Multi()),
            17 => (Cmd.Reset, []),
            18 => (Cmd.Feature, MigrationWire.Feature((uint)random.Next(16), (uint)random.Next(1, 8) << 16, new byte[random.Next(64)], (uint)random.Next(128))),
            19 => (Cmd.Feature, random.Next(3) switch
            {
                0 => MigrationWire.Start(0x1000, (page, 0x1000)),
                1 => MigrationWire.Report(page, 0x1000, 0x1000),
                _ => MigrationWire.SetState((uint)random.Next(9)),
            }),
            20 => random.Next(3) switch
            {
                0 => (Cmd.MigRead, MigrationWire.MigRead((uint)random.Next(4096))),
                1 => (Cmd.MigWrite, MigrationWire.MigWrite(new byte[random.Next(64)])),
                _ => (Cmd.PrecopyInfo, new Payload().U32(24, 0).U64(0, 0)),
            },
            _ => ((ushort)random.Next(24), new byte[random.Next(64)]),
        };
    }

    private byte[] Multi()
    {
        int count = random.Next(6);
        Payload body = new Payload().U64((ulong)count);
        for (int i = 0; i < count; i++)
        {
            body.U64((ulong)random.Next(300)).U32((uint)random.Next(9), (uint)random.Next(9)).U64((ulong)random.NextInt64());
        }

        return body;
    }

    private byte[] Write(uint region, int length)
    {
        byte[] data = new byte[length];
        random.NextBytes(data);
        return [.. WireClient.Access((ulong)random.Next(300), region, (uint)data.Length), .. data];
    }
}
