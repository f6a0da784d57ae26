using System.Globalization;
using Penstock.Interop;

namespace Penstock.Devices;

/// <summary>What the DMA registers ask for, taken as one copy and checked.</summary>
/// <param name="ToMemory">From the device's buffer to memory, or the other way.</param>
/// <param name="Iova">Address in memory, cut to the device's address bits.</param>
/// <param name="DeviceAddress">Address on the device's side.</param>
/// <param name="Count">Bytes.</param>
/// <param name="CutBits">Address bits that the device does not have.</param>
internal readonly record struct EduTransfer(bool ToMemory, ulong Iova, ulong DeviceAddress, ulong Count, ulong CutBits)
{
    /// <summary>Where in the buffer; only after <see cref="Check"/>.</summary>
    internal int BufferOffset => (int)(DeviceAddress - EduRegisters.Buffer);

    internal static EduTransfer Of(ulong source, ulong destination, ulong count, ulong command, ulong addressMask)
    {
        bool toMemory = (command & EduRegisters.CommandToMemory) != 0;
        (ulong memory, ulong device) = toMemory ? (destination, source) : (source, destination);
        return new EduTransfer(toMemory, memory & addressMask, device, count, memory & ~addressMask);
    }

    /// <summary>Why the transfer cannot even begin, or null.</summary>
    internal string? Check(ulong addressMask)
    {
        const ulong BufferEnd = EduRegisters.Buffer + EduRegisters.BufferSize;
        if (DeviceAddress is < EduRegisters.Buffer or >= BufferEnd || Count > BufferEnd - DeviceAddress)
        {
            return "outside the buffer, which is 4096 bytes at 0x40000";
        }

        return Count != 0 && Count - 1 > addressMask - Iova ? "memory past the device's last address" : null;
    }

    /// <summary>The error in words for a person.</summary>
    internal string Explain(Errno errno) => errno switch
    {
        Errno.EFAULT => "nothing is mapped there",
        Errno.EPERM => ToMemory ? "the mapping does not let devices write" : "the mapping does not let devices read",
        Errno.EACCES => "Bus Master is off",
        _ => errno.ToString(),
    };

    public override string ToString() => ToMemory
        ? string.Create(CultureInfo.InvariantCulture, $"{Count} bytes from 0x{DeviceAddress:x} to memory at 0x{Iova:x}")
        : string.Create(CultureInfo.InvariantCulture, $"{Count} bytes from memory at 0x{Iova:x} to 0x{DeviceAddress:x}");
}
