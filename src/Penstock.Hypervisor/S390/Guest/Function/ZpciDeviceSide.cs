using System.Buffers.Binary;
using System.Numerics;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// The device behind a guest's function: an open device file, of which this is the owner. Reads and writes may come on any thread; they allocate
/// nothing.
/// </summary>
internal sealed class ZpciDeviceSide : IDisposable
{
    private readonly VfioDeviceFile _file;
    private readonly DeliveryGate _gate = new();
    private readonly ulong[] _sizes = new ulong[VfioRegions.Config + 1];
    private readonly ZpciMsix? _msix;

    public ZpciDeviceSide(VfioDeviceFile file, VfioHost host, Action<string> log)
    {
        _file = file;
        VfioDeviceInfo info = file.GetInfo();
        Info = ZpciDeviceInfo.Of(info);
        for (int region = 0; region < _sizes.Length; region++)
        {
            _sizes[region] = file.GetRegionInfo((uint)region).Size;
        }

        Span<byte> ids = stackalloc byte[sizeof(uint)];
        ids.Clear();
        _ = file.Read(VfioRegions.Config, PciConfigOffsets.VendorId, ids, out _);
        VendorId = BinaryPrimitives.ReadUInt16LittleEndian(ids);
        DeviceId = BinaryPrimitives.ReadUInt16LittleEndian(ids[sizeof(ushort)..]);
        _msix = ZpciMsix.Find(file, host, log);
        if (_msix is not null)
        {
            _msix.Side = this;
        }
    }

    /// <summary>What the device says of its zPCI function; null for a device that is none.</summary>
    public ZpciDeviceInfo? Info { get; }

    public ushort VendorId { get; }

    public ushort DeviceId { get; }

    public bool HasMsix => _msix is not null;

    public string Name => _file.Name;

    /// <summary>Whether firmware serves it; the tie to the machine is then known.</summary>
    public bool IsInterpreted => Tie is not null;

    /// <summary>The tie to the machine of an interpreted function.</summary>
    public KvmZdev? Tie { get; set; }

    public bool HasRelaxedTranslation { get; set; }

    /// <summary>The function that it serves.</summary>
    public ZpciGuestFunction? Owner { get; set; }

    /// <summary>The host's handle as of now; null when the device does not say.</summary>
    public uint? HostHandle()
    {
        if (!_gate.TryEnter())
        {
            return null;
        }

        try
        {
            return ZpciDeviceInfo.Of(_file.GetInfo())?.HostHandle;
        }
        catch (VfioException)
        {
            return null;
        }
        finally
        {
            _gate.Leave();
        }
    }

    public bool Has(byte space, ulong offset, int length)
    {
        ulong size = _sizes[RegionOf(space)];
        return offset < size && (ulong)length <= size - offset;
    }

    /// <summary>Reads of a region. What is past configuration space, and what a device cannot say now, is all ones.</summary>
    /// <returns>None; EINVAL: past a BAR.</returns>
    public Errno Read(byte space, ulong offset, Span<byte> data)
    {
        bool isThere = Has(space, offset, data.Length);
        if (!isThere && space != ZpciRegister.ConfigurationSpace)
        {
            return Errno.EINVAL;
        }

        if (!isThere || !_gate.TryEnter())
        {
            data.Fill(byte.MaxValue);
            return Errno.None;
        }

        if (_msix is null || !_msix.TryRead(space, offset, data))
        {
            if (_file.Read((uint)RegionOf(space), offset, data, out _) != Errno.None)
            {
                data.Fill(byte.MaxValue);
            }

            _msix?.Overlay(space, offset, data);
        }

        _gate.Leave();
        return Errno.None;
    }

    /// <summary>Writes to a region. What is past configuration space, and what a device does not take now, goes nowhere.</summary>
    /// <returns>None; EINVAL: past a BAR.</returns>
    public Errno Write(byte space, ulong offset, ReadOnlySpan<byte> data)
    {
        bool isThere = Has(space, offset, data.Length);
        if (!isThere && space != ZpciRegister.ConfigurationSpace)
        {
            return Errno.EINVAL;
        }

        if (!isThere || !_gate.TryEnter())
        {
            return Errno.None;
        }

        if (_msix is null || !_msix.TryWrite(space, offset, data))
        {
            _ = _file.Write((uint)RegionOf(space), offset, data, out _);
        }

        _gate.Leave();
        return Errno.None;
    }

    /// <summary>As firmware does: what is in the device, and nothing of the VMM's.</summary>
    public bool TryReadDirectly(byte space, ulong offset, Span<byte> data)
    {
        if (!Has(space, offset, data.Length) || !_gate.TryEnter())
        {
            return false;
        }

        if (_file.Read((uint)RegionOf(space), offset, data, out _) != Errno.None)
        {
            data.Fill(byte.MaxValue);
        }

        _gate.Leave();
        return true;
    }

    /// <summary>As <see cref="TryReadDirectly"/>.</summary>
    public bool TryWriteDirectly(byte space, ulong offset, ReadOnlySpan<byte> data)
    {
        if (!Has(space, offset, data.Length) || !_gate.TryEnter())
        {
            return false;
        }

        _ = _file.Write((uint)RegionOf(space), offset, data, out _);
        _gate.Leave();
        return true;
    }

    /// <summary>The raw BARs and their sizes, as a query of the function shows them.</summary>
    public void Describe(ref ZpciClpQueryFunctionResponse answer)
    {
        ZpciBars bars = default;
        ZpciBarSizes sizes = default;
        Span<byte> raw = stackalloc byte[sizeof(uint)];
        for (int bar = 0; bar < ZpciBars.Count; bar++)
        {
            _ = Read(ZpciRegister.ConfigurationSpace, (ulong)(PciConfigOffsets.Bar0 + (bar * sizeof(uint))), raw);
            bars[bar] = BinaryPrimitives.ReadUInt32LittleEndian(raw);
            sizes[bar] = (byte)(_sizes[bar] == 0 ? 0 : BitOperations.Log2(_sizes[bar]));
        }

        answer.Bars = bars;
        answer.BarSizes = sizes;
    }

    /// <summary>Resets the device, if it can be reset.</summary>
    public void Reset()
    {
        if (!_gate.TryEnter())
        {
            return;
        }

        try
        {
            _file.Reset();
        }
        catch (VfioException)
        {
            // It has none, or is gone: nothing of the guest's is left in it then either.
        }
        finally
        {
            _gate.Leave();
        }
    }

    /// <summary>Closes the device, after those who are in it have left.</summary>
    public void Dispose()
    {
        if (_gate.IsClosed)
        {
            return;
        }

        _gate.Close();
        _msix?.Dispose();
        _file.Dispose();
    }

    private static int RegionOf(byte space) => space == ZpciRegister.ConfigurationSpace ? VfioRegions.Config : VfioRegions.Bar0 + space;
}
