using Penstock.Interop;

namespace Penstock.VfioUser.Tests;

/// <summary>Commands 16 to 18 as bytes.</summary>
internal static class MigrationWire
{
    public const uint Error = 0, Stop = 1, Running = 2, StopCopy = 3, Resuming = 4, RunningP2P = 5, PreCopy = 6, PreCopyP2P = 7;

    /// <summary>Pages of 4 KiB in DMA_UNMAP and in reports.</summary>
    public const ulong Page = 4096;

    public static byte[] Feature(uint feature, uint operation, byte[]? data = null, uint? argsz = null) =>
        new Payload().U32(argsz ?? 8 + (uint)(data?.Length ?? 0), feature | operation).Bytes(data);

    public static byte[] SetState(uint state) => Feature(2, Cmd.Set, new Payload().U32(state, uint.MaxValue));

    public static Errno Move(this WireClient client, uint state) => client.Try(Cmd.Feature, SetState(state));

    public static uint State(this WireClient client)
    {
        WireMessage reply = client.Call(Cmd.Feature, Feature(2, Cmd.Get, argsz: 16));
        Assert.Equal((0u, 16u, 2 | Cmd.Get, uint.MaxValue), (reply.Error, reply.U32(0), reply.U32(4), reply.U32(12)));
        Assert.Equal(16, reply.Body.Length);
        return reply.U32(8);
    }

    public static byte[] MigRead(uint size, uint? argsz = null) => new Payload().U32(argsz ?? 8 + size, size);

    public static byte[] MigWrite(ReadOnlySpan<byte> data, uint? size = null, uint? argsz = null) =>
        new Payload().U32(argsz ?? 8 + (uint)data.Length, size ?? (uint)data.Length).Bytes(data);

    /// <summary>Reads until the server has nothing more.</summary>
    public static byte[] ReadAll(this WireClient client, uint chunk)
    {
        var all = new List<byte>();
        while (true)
        {
            WireMessage reply = client.Call(Cmd.MigRead, MigRead(chunk));
            Assert.Equal(0u, reply.Error);
            Assert.Equal((uint)reply.Body.Length, reply.U32(0));
            Assert.Equal((uint)reply.Body.Length - 8, reply.U32(4));
            if (reply.Body.Length == 8)
            {
                return [.. all];
            }

            all.AddRange(reply.Body[8..]);
        }
    }

    public static byte[] Start(ulong page, params (ulong Iova, ulong Size)[] ranges)
    {
        Payload data = new Payload().U64(page).U32((uint)ranges.Length, 0);
        foreach ((ulong iova, ulong size) in ranges)
        {
            data.U64(iova, size);
        }

        return Feature(6, Cmd.Set, data);
    }

    public static byte[] Report(ulong iova, ulong size, ulong page, uint argsz = Cmd.Megabyte) =>
        Feature(8, Cmd.Get, new Payload().U64(iova, size, page), argsz);

    public static byte[] UnmapDirty(ulong iova, ulong size, ulong page, ulong bitmap, uint argsz = Cmd.Megabyte, uint flags = 1) =>
        [.. WireClient.Unmap(iova, size, flags, argsz), .. (byte[])new Payload().U64(page, bitmap)];
}
