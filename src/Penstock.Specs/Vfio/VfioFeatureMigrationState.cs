using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>Data of feature 2 (<c>vfio_device_feature_mig_state</c>).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioFeatureMigrationState
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 8;

    /// <summary>What <see cref="DataDescriptor"/> is when no file of data began.</summary>
    public const int NoDescriptor = -1;

    /// <summary>State to move to; answered with the state.</summary>
    public MigrationState DeviceState;

    /// <summary>Output: the file of data that began.</summary>
    public int DataDescriptor;
}
