using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>DEVICE_FEATURE calls with the kernel's structures, as a program makes them.</summary>
internal static class Feature
{
    public static Errno Call(this VfioDeviceFile file, VfioFeature feature, VfioFeatureFlags operation, Span<byte> data = default)
    {
        byte[] argument = new byte[VfioDeviceFeature.Length + data.Length];
        MemoryMarshal.Write(argument, new VfioDeviceFeature { ArgumentSize = (uint)argument.Length, Flags = (VfioFeatureFlags)(uint)feature | operation });
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

    public static unsafe Errno StartLogging(this VfioDeviceFile file, ref ulong pageSize, params VfioFeatureDmaLoggingRange[] ranges)
    {
        // SAFETY: the call is over before the array may move.
        fixed (VfioFeatureDmaLoggingRange* first = ranges)
        {
            var control = new VfioFeatureDmaLoggingControl { PageSize = pageSize, RangeCount = (uint)ranges.Length, Ranges = (ulong)first };
            Errno errno = file.Call(VfioFeature.DmaLoggingStart, VfioFeatureFlags.Set, ref control);
            pageSize = control.PageSize;
            return errno;
        }
    }

    public static Errno StopLogging(this VfioDeviceFile file) => file.Call(VfioFeature.DmaLoggingStop, VfioFeatureFlags.Set);

    public static unsafe Errno Report(this VfioDeviceFile file, ulong iova, ulong length, ulong pageSize, ulong[] bitmap)
    {
        // SAFETY: as above.
        fixed (ulong* first = bitmap)
        {
            var report = new VfioFeatureDmaLoggingReport { Iova = iova, Size = length, PageSize = pageSize, Bitmap = (ulong)first };
            return file.Call(VfioFeature.DmaLoggingReport, VfioFeatureFlags.Get, ref report);
        }
    }

    public static VfioFeatureDmaLoggingRange Range(ulong iova, ulong size) => new() { Iova = iova, Size = size };
}
