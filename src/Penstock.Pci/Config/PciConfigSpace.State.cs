using Penstock.Specs.Pci;
using Penstock.Vfio;

namespace Penstock.Pci;

/// <content>Configuration space as part of a device's state.</content>
public sealed partial class PciConfigSpace
{
    internal void Declare(DeviceStateTable table)
    {
        table.Bytes("header", PciConfigOffsets.HeaderEnd, state => _header.CopyTo(state), LoadHeader, CheckHeader);
        for (int i = 0; i < _capabilities.Length; i++)
        {
            PciCapability capability = _capabilities[i];
            table.Bytes(
                $"capability {i}",
                capability.StateLength,
                capability.SaveState,
                capability.LoadState,
                state => capability.Matches(state) ? null : "it is another capability");
        }
    }

    private void LoadHeader(ReadOnlySpan<byte> state)
    {
        for (int i = 0; i < _header.Length; i++)
        {
            int changeable = _writable[i] | _clearable[i];
            _header[i] = (byte)((_header[i] & ~changeable) | (state[i] & changeable));
        }
    }

    /// <summary>What software cannot change must be the same: ids, kinds of BARs, place of the capabilities.</summary>
    private string? CheckHeader(ReadOnlySpan<byte> state)
    {
        for (int i = 0; i < _header.Length; i++)
        {
            int fixedBits = ~(_writable[i] | _clearable[i]);
            if (((_header[i] ^ state[i]) & fixedBits) != 0)
            {
                return $"byte 0x{i:x} of configuration space is not that of this function";
            }
        }

        return null;
    }
}
