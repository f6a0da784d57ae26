using System.Buffers.Binary;
using System.Numerics;
using Penstock.Specs.Pci;
using Penstock.Vfio;

namespace Penstock.Pci;

public sealed partial class PciConfigSpace
{
    private const ulong LargestIo = 0x1_0000;
    private const ulong LargestMemory32 = 0x8000_0000;

    private const PciCommand WritableCommand = PciCommand.Io | PciCommand.Memory | PciCommand.BusMaster
        | PciCommand.ParityErrorResponse | PciCommand.Serr | PciCommand.InterruptDisable;

    private void FillIdentity(PciFunctionDescription description)
    {
        Put16(_header, PciConfigOffsets.VendorId, description.VendorId);
        Put16(_header, PciConfigOffsets.DeviceId, description.DeviceId);
        Put16(_header, PciConfigOffsets.SubsystemVendorId, description.SubsystemVendorId);
        Put16(_header, PciConfigOffsets.SubsystemId, description.SubsystemId);
        if (description.ClassCode > 0xff_ffff)
        {
            throw new ArgumentException($"Class code 0x{description.ClassCode:x} has more than 24 bits.");
        }

        Put32(_header, PciConfigOffsets.Revision, (description.ClassCode << 8) | description.Revision);
        if (description.InterruptPin > 4)
        {
            throw new ArgumentException($"Interrupt pin {description.InterruptPin} does not exist; use 1 to 4, or 0 for none.");
        }

        _header[PciConfigOffsets.InterruptPin] = description.InterruptPin;
        _writable[PciConfigOffsets.InterruptLine] = byte.MaxValue;
        _writable[PciConfigOffsets.CacheLineSize] = byte.MaxValue;
        if (Size == PciConfigOffsets.ConventionalSize)
        {
            // Express hardwires the latency timer to 0.
            _writable[PciConfigOffsets.LatencyTimer] = byte.MaxValue;
        }

        if ((description.InitialCommand & ~WritableCommand) != 0)
        {
            throw new ArgumentException($"Initial command 0x{(ushort)description.InitialCommand:x} has bits that no function can set.");
        }

        Put16(_header, PciConfigOffsets.Command, (ushort)description.InitialCommand);
        Put16(_writable, PciConfigOffsets.Command, (ushort)WritableCommand);
        Put16(_clearable, PciConfigOffsets.Status, (ushort)PciStatus.WriteOneToClear);
    }

    private void FillBars(IReadOnlyList<PciBar> bars)
    {
        int taken = 0;
        foreach (PciBar bar in bars)
        {
            bool wide = bar.Kind == PciBarKind.Memory64;
            int last = wide ? bar.Index + 1 : bar.Index;
            if (bar.Index < 0 || last >= PciConfigOffsets.BarCount)
            {
                throw new ArgumentException($"BAR {bar.Index}: there is no such register{(wide ? " pair" : string.Empty)}; use 0 to 5.");
            }

            int registers = (wide ? 3 : 1) << bar.Index;
            if ((taken & registers) != 0)
            {
                throw new ArgumentException($"BAR {bar.Index}: the register is taken by another BAR; a 64-bit one takes two.");
            }

            taken |= registers;
            CheckSize(bar);
            CheckMemory(bar);
            CheckDoorbells(bar);
            _bars[bar.Index] = bar;
            int at = PciConfigOffsets.Bar0 + (4 * bar.Index);
            ulong mask = ~(bar.Size - 1);
            if (bar.Kind == PciBarKind.Io)
            {
                Put32(_header, at, PciBarBits.Io);
                Put32(_writable, at, (uint)mask);
                continue;
            }

            Put32(_header, at, (wide ? PciBarBits.Memory64 : 0) | (bar.Prefetchable ? PciBarBits.Prefetchable : 0));
            Put32(_writable, at, (uint)mask);
            if (wide)
            {
                Put32(_writable, at + 4, (uint)(mask >> 32));
            }
        }
    }

    private static void CheckSize(PciBar bar)
    {
        ulong least = bar.Kind == PciBarKind.Io ? PciBarBits.SmallestIo : PciBarBits.SmallestMemory;
        ulong most = bar.Kind switch
        {
            PciBarKind.Io => LargestIo,
            PciBarKind.Memory32 => LargestMemory32,
            _ => 1UL << 63,
        };
        if (!BitOperations.IsPow2(bar.Size) || bar.Size < least || bar.Size > most)
        {
            throw new ArgumentException(
                $"BAR {bar.Index}: a size of 0x{bar.Size:x} is not possible; {bar.Kind} takes a power of two from 0x{least:x} to 0x{most:x}.");
        }
    }

    private static void CheckMemory(PciBar bar)
    {
        if (bar.Memory is not { } memory)
        {
            return;
        }

        if (bar.Kind == PciBarKind.Io || bar.Size < PciBar.PageSize || memory.Length < bar.Size)
        {
            throw new ArgumentException($"BAR {bar.Index}: only memory of at least a page can be mapped, and all of it has to be there.");
        }

        ulong end = 0;
        foreach (VfioRegionArea area in bar.MappableAreas ?? [])
        {
            if (area.Size == 0 || ((area.Offset | area.Size) & (PciBar.PageSize - 1)) != 0 || area.Offset < end || area.Offset > bar.Size || area.Size > bar.Size - area.Offset)
            {
                throw new ArgumentException($"BAR {bar.Index}: mappable areas are whole pages inside it, in ascending order and without overlaps.");
            }

            end = area.Offset + area.Size;
        }
    }

    private static void CheckDoorbells(PciBar bar)
    {
        foreach (PciDoorbell bell in bar.Doorbells)
        {
            bool sound = bell.Size is 0 or 1 or 2 or 4 or 8
                && bell.Offset < bar.Size
                && (ulong)bell.Size <= bar.Size - bell.Offset
                && (bell.Match is not { } value || (bell.Size != 0 && (bell.Size == sizeof(ulong) || value >> (8 * bell.Size) == 0)));
            if (!sound)
            {
                throw new ArgumentException(
                    $"BAR {bar.Index}: the doorbell at 0x{bell.Offset:x} must lie inside it, be 1, 2, 4 or 8 bytes wide, or 0 for any width, and match no more than its width can hold.");
            }
        }
    }

    private void PlaceCapabilities()
    {
        int free = PciConfigOffsets.HeaderEnd;
        int freeExtended = PciConfigOffsets.ConventionalSize;
        PciCapability? last = null;
        PciExtendedCapability? lastExtended = null;
        for (int i = 0; i < _capabilities.Length; i++)
        {
            PciCapability capability = _capabilities[i];
            bool extended = capability is PciExtendedCapability;
            ref int place = ref extended ? ref freeExtended : ref free;
            int end = extended ? PciConfigOffsets.ExtendedSize : PciConfigOffsets.ConventionalSize;
            if (place + capability.Length > end)
            {
                throw new ArgumentException(
                    $"{capability.GetType().Name}: its {capability.Length} bytes do not fit at 0x{place:x} of configuration space.");
            }

            capability.Place(place, _effects);
            _owner.AsSpan(place, capability.Length).Fill((byte)i);
            if (capability is PciExtendedCapability next)
            {
                // The list always starts at the first place, so a hidden one there stays as an empty link.
                bool first = place == PciConfigOffsets.ConventionalSize;
                if (first || next.IsShown)
                {
                    Link(lastExtended, place);
                    if (first && !next.IsShown)
                    {
                        next.HideButKeepNext(0);
                    }

                    lastExtended = next;
                }
            }
            else if (capability.IsShown)
            {
                if (last is null)
                {
                    _header[PciConfigOffsets.CapabilityPointer] = (byte)place;
                    _header[PciConfigOffsets.Status] |= (byte)PciStatus.CapabilityList;
                }
                else
                {
                    last.SetNext(place);
                }

                last = capability;
            }

            place = (place + capability.Length + 3) & ~3;
        }
    }

    private static void Link(PciExtendedCapability? from, int to)
    {
        if (from is { IsShown: false })
        {
            from.HideButKeepNext(to);
        }
        else
        {
            from?.SetNext(to);
        }
    }

    private void CheckMsix()
    {
        if (Find<MsixCapability>() is not { } msix)
        {
            return;
        }

        CheckInside("table", msix.TableBar, msix.TableOffset, msix.TableLength);
        CheckInside("pending bits", msix.PbaBar, msix.PbaOffset, msix.PbaLength);
        if (msix.TableBar == msix.PbaBar
            && msix.TableOffset < msix.PbaOffset + msix.PbaLength
            && msix.PbaOffset < msix.TableOffset + msix.TableLength)
        {
            throw new ArgumentException(
                $"MSI-X: the table at 0x{msix.TableOffset:x} and the pending bits at 0x{msix.PbaOffset:x} of BAR {msix.PbaBar} overlap.");
        }
    }

    private void CheckInside(string what, int index, ulong offset, ulong length)
    {
        if (Bar(index) is not { Kind: not PciBarKind.Io } bar || offset + length > bar.Size)
        {
            throw new ArgumentException(
                $"MSI-X: the {what}, 0x{length:x} bytes at 0x{offset:x}, must lie inside a memory BAR; BAR {index} is too small or none.");
        }
    }

    private static void Put16(byte[] bytes, int offset, ushort value) =>
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(offset), value);

    private static void Put32(byte[] bytes, int offset, uint value) =>
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(offset), value);
}
