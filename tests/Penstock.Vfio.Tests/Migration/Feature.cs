using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>DEVICE_FEATURE calls with the kernel's structures, as a program makes them.</summary>
internal static class Feature
{
    public const VfioFeatureFlags Get = VfioFeatureFlags.Get;
    public const VfioFeatureFlags Set = VfioFeatureFlags.Set;
    public const VfioFeatureFlags Probe = VfioFeatureFlags.Probe;

    public static Errno Call(this VfioDeviceFile file, VfioFeature feature, VfioFeatureFlags operation, Span<byte> data = default, uint? argsz = null)
    {
        byte[] argument = new byte[VfioDeviceFeature.Length + data.Length];
        MemoryMarshal.Write(argument, new VfioDeviceFeature
        {
            ArgumentSize = argsz ?? (uint)argument.Length,
            Flags = (VfioFeatureFlags)(uint)feature | operation,
        });
        data.CopyTo(argument.AsSpan(VfioDeviceFeature.Length));
        try
        {
            Assert.Equal(0, file.Ioctl((uint)VfioDeviceRequest.Feature, argument));
            return Errno.None;
        }
        catch (VfioException refused)
        {
            return refused.Errno;
        }
        finally
        {
            argument.AsSpan(VfioDeviceFeature.Length).CopyTo(data);
        }
    }

    public static Errno Call<T>(this VfioDeviceFile file, VfioFeature feature, VfioFeatureFlags operation, ref T data)
        where T : unmanaged => file.Call(feature, operation, MemoryMarshal.AsBytes(new Span<T>(ref data)));

    public static Errno SetState(this VfioDeviceFile file, MigrationState state, out int descriptor)
    {
        var call = new VfioFeatureMigrationState { DeviceState = state, DataDescriptor = 77 };
        Errno errno = file.Call(VfioFeature.MigrationDeviceState, Set, ref call);
        descriptor = call.DataDescriptor;
        return errno;
    }

    public static MigrationState GetState(this VfioDeviceFile file)
    {
        var call = new VfioFeatureMigrationState { DataDescriptor = 77 };
        Assert.Equal(Errno.None, file.Call(VfioFeature.MigrationDeviceState, Get, ref call));
        Assert.Equal(VfioFeatureMigrationState.NoDescriptor, call.DataDescriptor);
        return call.DeviceState;
    }
}
