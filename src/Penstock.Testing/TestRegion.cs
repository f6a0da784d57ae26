using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <summary>
/// A region of the device on the bench, accessed as a user accesses it. The typed members fail when the device answers with an error; Read and
/// Write on spans return it. Little-endian. May be used from any thread.
/// </summary>
public sealed class TestRegion
{
    private readonly FunctionTestBench _bench;

    internal TestRegion(FunctionTestBench bench, uint index)
    {
        _bench = bench;
        Index = index;
    }

    /// <summary>Index of the region.</summary>
    public uint Index { get; }

    /// <summary>What the device says about it.</summary>
    public VfioRegionInfo Info => _bench.File.GetRegionInfo(Index);

    private string Name => Index <= VfioRegions.Bar5 ? $"BAR {Index}" : Index == VfioRegions.Config ? "configuration space" : $"region {Index}";

    /// <summary>Reads.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">Receives the bytes.</param>
    /// <returns>What the device answers.</returns>
    public Errno Read(ulong offset, Span<byte> data) => _bench.File.Read(Index, offset, data, out _);

    /// <summary>Writes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">The bytes.</param>
    /// <returns>What the device answers.</returns>
    public Errno Write(ulong offset, ReadOnlySpan<byte> data) => _bench.File.Write(Index, offset, data, out _);

    /// <summary>Reads bytes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="count">How many.</param>
    /// <returns>The bytes.</returns>
    /// <exception cref="TestBenchException">The device answers with an error, or with fewer.</exception>
    public byte[] ReadBytes(ulong offset, int count)
    {
        byte[] data = new byte[count];
        ReadExactly(offset, data);
        return data;
    }

    /// <summary>Writes bytes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">The bytes.</param>
    /// <exception cref="TestBenchException">The device answers with an error, or takes fewer.</exception>
    public void WriteBytes(ulong offset, ReadOnlySpan<byte> data)
    {
        Errno errno = _bench.File.Write(Index, offset, data, out int transferred);
        Check("writing", offset, data.Length, transferred, errno);
    }

    /// <summary>Reads 1 byte.</summary>
    /// <param name="offset">Its offset.</param>
    /// <returns>The value.</returns>
    /// <exception cref="TestBenchException">The device answers with an error.</exception>
    public byte Read8(ulong offset)
    {
        Span<byte> data = stackalloc byte[sizeof(byte)];
        ReadExactly(offset, data);
        return data[0];
    }

    /// <summary>Reads 2 bytes.</summary>
    /// <param name="offset">First byte.</param>
    /// <returns>The value.</returns>
    /// <exception cref="TestBenchException">The device answers with an error.</exception>
    public ushort Read16(ulong offset)
    {
        Span<byte> data = stackalloc byte[sizeof(ushort)];
        ReadExactly(offset, data);
        return BinaryPrimitives.ReadUInt16LittleEndian(data);
    }

    /// <summary>Reads 4 bytes.</summary>
    /// <param name="offset">First byte.</param>
    /// <returns>The value.</returns>
    /// <exception cref="TestBenchException">The device answers with an error.</exception>
    public uint Read32(ulong offset)
    {
        Span<byte> data = stackalloc byte[sizeof(uint)];
        ReadExactly(offset, data);
        return BinaryPrimitives.ReadUInt32LittleEndian(data);
    }

    /// <summary>Reads 8 bytes.</summary>
    /// <param name="offset">First byte.</param>
    /// <returns>The value.</returns>
    /// <exception cref="TestBenchException">The device answers with an error.</exception>
    public ulong Read64(ulong offset)
    {
        Span<byte> data = stackalloc byte[sizeof(ulong)];
        ReadExactly(offset, data);
        return BinaryPrimitives.ReadUInt64LittleEndian(data);
    }

    /// <summary>Writes 1 byte.</summary>
    /// <param name="offset">Its offset.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="TestBenchException">The device answers with an error.</exception>
    public void Write8(ulong offset, byte value) => WriteBytes(offset, [value]);

    /// <summary>Writes 2 bytes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="TestBenchException">The device answers with an error.</exception>
    public void Write16(ulong offset, ushort value)
    {
        Span<byte> data = stackalloc byte[sizeof(ushort)];
        BinaryPrimitives.WriteUInt16LittleEndian(data, value);
        WriteBytes(offset, data);
    }

    /// <summary>Writes 4 bytes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="TestBenchException">The device answers with an error.</exception>
    public void Write32(ulong offset, uint value)
    {
        Span<byte> data = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(data, value);
        WriteBytes(offset, data);
    }

    /// <summary>Writes 8 bytes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="TestBenchException">The device answers with an error.</exception>
    public void Write64(ulong offset, ulong value)
    {
        Span<byte> data = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        WriteBytes(offset, data);
    }

    private void ReadExactly(ulong offset, Span<byte> data)
    {
        Errno errno = _bench.File.Read(Index, offset, data, out int transferred);
        Check("reading", offset, data.Length, transferred, errno);
    }

    private void Check(string what, ulong offset, int asked, int transferred, Errno errno)
    {
        if (errno != Errno.None || transferred != asked)
        {
            throw new TestBenchException($"{what} {asked} bytes at 0x{offset:x} of {Name}: {errno}, {transferred} bytes done");
        }
    }
}
