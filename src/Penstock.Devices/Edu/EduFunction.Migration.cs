using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <content>Its state, as a table. What is under way is part of it: the bits that say so are in the registers.</content>
public sealed partial class EduFunction
{
    private const int StateVersion = 1;

    /// <inheritdoc/>
    public DeviceStateTable State { get; }

    /// <inheritdoc/>
    /// <remarks>A factorial or a transfer that was under way begins again and ends once; with a delay its time begins again too.</remarks>
    public void StateLoaded()
    {
        Abandon();
        if (_port is not { } port)
        {
            return;
        }

        if (IsComputing)
        {
            _factorial.Start(port.Strand);
        }

        if (IsTransferring)
        {
            _transfer.Start(port.Strand);
        }
    }

    private DeviceStateTable DeclareState(int dmaBits)
    {
        DeviceStateTable table = new DeviceStateTable("edu", StateVersion).Bytes(
            "dma bits",
            1,
            bytes => bytes[0] = (byte)dmaBits,
            _ => { },
            bytes => bytes[0] == dmaBits ? null : $"its DMA unit has {bytes[0]} address bits and this one's {dmaBits}; serve both with one --dma-mask");
        foreach (Register register in _registers.Registers.Where(r => r.Offset != EduRegisters.Identification && !IsWriteOnly(r)))
        {
            int offset = register.Offset;
            ulong known = ~register.UnknownMask;
            table.Number(
                register.Name.ToLowerInvariant(), register.Width, () => _registers[offset], value => _registers[offset] = value & known);
        }

        return table.Memory("buffer", _buffer);
    }

    private static bool IsWriteOnly(Register register) => register.Offset is EduRegisters.InterruptRaise or EduRegisters.InterruptAcknowledge;
}
