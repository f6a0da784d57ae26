using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci;

public partial class VfioPciCoreDevice
{
    private const int MemoryWidth = 8;
    private const int IoWidth = 4;

    /// <inheritdoc/>
    protected override VfioDeviceInfo GetInfo() =>
        new(VfioDeviceFlags.Pci | (CanReset ? VfioDeviceFlags.Reset : 0), VfioRegions.Count, VfioIrqs.Count);

    /// <inheritdoc/>
    protected override VfioRegionInfo GetRegionInfo(uint index)
    {
        const VfioRegionFlags ReadWrite = VfioRegionFlags.Read | VfioRegionFlags.Write;
        switch (index)
        {
            case <= VfioRegions.Bar5:
                return _config.Bar((int)index) is { } bar
                    ? new VfioRegionInfo((int)index, ReadWrite | (bar.IsMappable ? VfioRegionFlags.Mmap : 0), bar.Size)
                    {
                        MappableAreas = bar.IsMappable ? bar.MappableAreas : null,
                        IsMsixMappable = bar.IsMappable && _msix is { } msix && msix.TableBar == (int)index,
                    }
                    : new VfioRegionInfo((int)index, VfioRegionFlags.None, 0);
            case VfioRegions.Rom:
                return new VfioRegionInfo((int)index, VfioRegionFlags.None, 0);
            case VfioRegions.Config:
                return new VfioRegionInfo((int)index, ReadWrite, (ulong)_config.Size);
            default:
                throw new VfioException(Errno.EINVAL, $"region {index} of {Name}", "the device has no such region");
        }
    }

    /// <inheritdoc/>
    protected override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred)
    {
        transferred = 0;
        if (data.IsEmpty)
        {
            return Errno.None;
        }

        using (_strand.EnterRegisterCall())
        {
            return _maySleep ? ReadAwake(region, offset, data, out transferred) : ReadRegion(region, offset, data, out transferred);
        }
    }

    /// <inheritdoc/>
    protected override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        transferred = 0;
        if (data.IsEmpty)
        {
            return Errno.None;
        }

        using (_strand.EnterRegisterCall())
        {
            return _maySleep ? WriteAwake(region, offset, data, out transferred) : WriteRegion(region, offset, data, out transferred);
        }
    }

    /// <inheritdoc/>
    protected override UserMemory Map(uint region, ulong offset, ulong length, out ulong start)
    {
        start = offset;
        return region <= VfioRegions.Bar5 && _config.Bar((int)region)?.Memory is { } memory
            ? memory
            : throw new VfioException(Errno.EINVAL, $"mapping region {region} of {Name}", "there is no memory behind it");
    }

    private Errno ReadRegion(uint region, ulong offset, Span<byte> data, out int transferred)
    {
        transferred = 0;
        return region switch
        {
            <= VfioRegions.Bar5 => ReadBar((int)region, offset, data, out transferred),
            VfioRegions.Config => ReadConfig(offset, data, out transferred),
            _ => Errno.EINVAL,
        };
    }

    private Errno WriteRegion(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        transferred = 0;
        return region switch
        {
            <= VfioRegions.Bar5 => WriteBar((int)region, offset, data, out transferred),
            VfioRegions.Config => WriteConfig(offset, data, out transferred),
            _ => Errno.EINVAL,
        };
    }

    private Errno ReadBar(int index, ulong offset, Span<byte> data, out int transferred)
    {
        transferred = 0;
        if (_config.Bar(index) is not { } bar || offset >= bar.Size)
        {
            return Errno.EINVAL;
        }

        int length = (int)Math.Min((ulong)data.Length, bar.Size - offset);
        while (transferred < length)
        {
            if (bar.Kind != PciBarKind.Io && !IsMemoryEnabled)
            {
                return Errno.EIO;
            }

            ulong at = offset + (ulong)transferred;
            int width = StepAt(bar, at, length - transferred);
            Span<byte> step = data.Slice(transferred, width);
            switch (AreaAt(index, at))
            {
                case Area.MsixTable:
                    step.Fill(byte.MaxValue);
                    break;
                case Area.MsixPending:
                    _msix!.ReadPending(at - _msix.PbaOffset, step);
                    break;
                default:
                    Errno errno = bar.Covers(at, width) ? bar.Memory!.Read(at, step) : ReadFunction(index, at, step);
                    if (errno != Errno.None)
                    {
                        return errno;
                    }

                    break;
            }

            transferred += width;
        }

        return Errno.None;
    }

    private Errno WriteBar(int index, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        transferred = 0;
        if (_config.Bar(index) is not { } bar || offset >= bar.Size)
        {
            return Errno.EINVAL;
        }

        int length = (int)Math.Min((ulong)data.Length, bar.Size - offset);
        while (transferred < length)
        {
            if (bar.Kind != PciBarKind.Io && !IsMemoryEnabled)
            {
                return Errno.EIO;
            }

            ulong at = offset + (ulong)transferred;
            int width = StepAt(bar, at, length - transferred);
            if (AreaAt(index, at) == Area.Function)
            {
                ReadOnlySpan<byte> step = data.Slice(transferred, width);
                Errno errno = bar.Covers(at, width) ? bar.Memory!.Write(at, step) : WriteFunction(index, at, step);
                if (errno != Errno.None)
                {
                    return errno;
                }
            }

            transferred += width;
        }

        return Errno.None;
    }

    private Errno ReadFunction(int bar, ulong offset, Span<byte> data)
    {
        try
        {
            return _function.ReadBar(bar, offset, data);
        }
        catch (Exception e)
        {
            return Contain(e, "read", bar, offset);
        }
    }

    private Errno WriteFunction(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        try
        {
            return _function.WriteBar(bar, offset, data);
        }
        catch (Exception e)
        {
            return Contain(e, "write", bar, offset);
        }
    }

    /// <summary>The next step of an access: naturally aligned. Table and pending bits start and end at multiples of 8, so no step has a part in two areas.</summary>
    private int StepAt(PciBar bar, ulong at, int left)
    {
        if (bar.TakesWholeAccesses && _msix is null)
        {
            return left;
        }

        int width = bar.Kind == PciBarKind.Io ? IoWidth : MemoryWidth;
        while (width > left || (at & (ulong)(width - 1)) != 0)
        {
            width >>= 1;
        }

        return width;
    }

    private Area AreaAt(int bar, ulong at)
    {
        if (_msix is not { } msix)
        {
            return Area.Function;
        }

        if (bar == msix.TableBar && at - msix.TableOffset < msix.TableLength)
        {
            return Area.MsixTable;
        }

        return bar == msix.PbaBar && at - msix.PbaOffset < msix.PbaLength ? Area.MsixPending : Area.Function;
    }

    private Errno Contain(Exception e, string what, int region, ulong offset)
    {
        string place = region == VfioRegions.Config ? "config" : $"bar {region}";
        Log($"{what} of {place} offset 0x{offset:x} failed in the model: {e.GetType().Name}: {e.Message}");
        return Errno.EIO;
    }

    private enum Area
    {
        Function,
        MsixTable,
        MsixPending,
    }
}
