using Penstock.Vfio;

namespace Penstock.Pci;

/// <summary>Registers as part of a device's state.</summary>
public static class RegisterFileState
{
    /// <summary>Declares the stored value of every register of a register file as one field. A change of the registers needs a new version.</summary>
    /// <param name="table">The table.</param>
    /// <param name="name">Name of the field.</param>
    /// <param name="registers">The registers.</param>
    /// <param name="since">Version of the table in which it came.</param>
    /// <returns>The table.</returns>
    public static DeviceStateTable Registers(this DeviceStateTable table, string name, RegisterFile registers, int since = 1)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentNullException.ThrowIfNull(registers);
        return table.Bytes(name, registers.StateSize, registers.Save, registers.Load, check: null, since);
    }
}
