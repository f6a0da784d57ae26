using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>DEVICE_FEATURE for migrations, MIG_DATA_READ and MIG_DATA_WRITE.</content>
public sealed partial class VfioUserClient
{
    /// <summary>What the device can do in a migration.</summary>
    /// <returns>Its abilities.</returns>
    /// <exception cref="VfioException">ENOTTY: it does not migrate; as every command.</exception>
    public MigrationFlags GetMigrationFlags() => GetFeature<VfioFeatureMigration>(VfioFeature.Migration).Flags;

    /// <summary>The device's migration state.</summary>
    /// <returns>The state.</returns>
    /// <exception cref="VfioException">As <see cref="GetMigrationFlags"/>.</exception>
    public MigrationState GetMigrationState() => GetFeature<VfioFeatureMigrationState>(VfioFeature.MigrationDeviceState).DeviceState;

    /// <summary>Moves the device to a migration state. Data is then read or written by messages.</summary>
    /// <param name="state">The state.</param>
    /// <exception cref="VfioException">EINVAL: no way leads there, or what was written is no state of this device; as every command.</exception>
    public void SetMigrationState(MigrationState state)
    {
        int length = BeginFeature<VfioFeatureMigrationState>(VfioFeature.MigrationDeviceState, VfioFeatureFlags.Set);
        MemoryMarshal.Write(
            Payload[VfioDeviceFeature.Length..],
            new VfioFeatureMigrationState { DeviceState = state, DataDescriptor = VfioFeatureMigrationState.NoDescriptor });
        Run(VfioUserCommand.DeviceFeature, length);
    }

    /// <summary>Reads on in the device's state.</summary>
    /// <param name="destination">Receives the bytes; at most what the server takes in one message are asked for.</param>
    /// <returns>How many came; 0 at the end, and while the device runs also when there is nothing just now.</returns>
    /// <exception cref="VfioException">EINVAL or ENODEV: the device is not in a state in which it is saved; as every command.</exception>
    public int ReadMigrationData(Span<byte> destination)
    {
        int asked = Math.Min(destination.Length, (int)ServerLimits.MaximumTransfer);
        MemoryMarshal.Write(
            Payload, new VfioUserMigrationData { ArgumentSize = (uint)(VfioUserMigrationData.Length + asked), Size = (uint)asked });
        ReadOnlySpan<byte> reply;
        try
        {
            reply = Run(VfioUserCommand.MigDataRead, VfioUserMigrationData.Length);
        }
        catch (VfioException nothing) when (nothing.Errno == Errno.ENOMSG)
        {
            return 0;
        }

        Require(reply.Length >= VfioUserMigrationData.Length, VfioUserCommand.MigDataRead, "the reply is too short");
        uint came = MemoryMarshal.Read<VfioUserMigrationData>(reply).Size;
        reply = reply[VfioUserMigrationData.Length..];
        Require(came <= asked && came <= reply.Length, VfioUserCommand.MigDataRead, $"the reply tells of {came} bytes, has {reply.Length}, and {asked} were asked for");
        reply[..(int)came].CopyTo(destination);
        return (int)came;
    }

    /// <summary>Writes on in the device's state.</summary>
    /// <param name="source">The bytes; they are sent in as many messages as it takes.</param>
    /// <exception cref="VfioException">EINVAL: the device is not in RESUMING, or sees already that this is no state of it; as every command.</exception>
    public void WriteMigrationData(ReadOnlySpan<byte> source)
    {
        while (!source.IsEmpty)
        {
            ReadOnlySpan<byte> part = source[..Math.Min(source.Length, (int)ServerLimits.MaximumTransfer)];
            int length = VfioUserMigrationData.Length + part.Length;
            MemoryMarshal.Write(Payload, new VfioUserMigrationData { ArgumentSize = (uint)length, Size = (uint)part.Length });
            part.CopyTo(Payload[VfioUserMigrationData.Length..]);
            Run(VfioUserCommand.MigDataWrite, length);
            source = source[part.Length..];
        }
    }

    private T GetFeature<T>(VfioFeature feature)
        where T : unmanaged
    {
        int length = BeginFeature<T>(feature, VfioFeatureFlags.Get);
        ReadOnlySpan<byte> reply = Run(VfioUserCommand.DeviceFeature, length);
        Require(reply.Length >= length, VfioUserCommand.DeviceFeature, $"the reply has {reply.Length} bytes, {length} are needed");
        return MemoryMarshal.Read<T>(reply[VfioDeviceFeature.Length..]);
    }

    private int BeginFeature<T>(VfioFeature feature, VfioFeatureFlags operation)
        where T : unmanaged
    {
        int length = VfioDeviceFeature.Length + Unsafe.SizeOf<T>();
        Payload[..length].Clear();
        MemoryMarshal.Write(Payload, new VfioDeviceFeature { ArgumentSize = (uint)length, Flags = (VfioFeatureFlags)feature | operation });
        return length;
    }
}
