using System.Reflection;
using Penstock.Vfio;

namespace Penstock.Architecture.Tests;

/// <summary>Between a device file and a driver there is nothing that passes operations on.</summary>
public sealed class DeviceShimTests
{
    private const BindingFlags Fields = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    [Fact]
    [Trait("Row", "S1-13")]
    public void Device_OfAnyKind_HoldsNoOtherDeviceToPassItsOperationsOn()
    {
        Type[] devices = [.. Repository.SourceProjects.SelectMany(static p => Assemblies.Of(p).GetTypes()).Where(static t => t.IsAssignableTo(typeof(VfioDevice)))];
        Assert.Contains(typeof(VfioDevice), devices);
        Assert.True(devices.Length >= 2);
        Assert.Empty(devices.Where(static d => d.GetFields(Fields).Any(static f => f.FieldType.IsAssignableTo(typeof(VfioDevice)))).Select(static d => d.FullName));
        Assert.True(new Shim(null!).GetType().GetFields(Fields).Any(static f => f.FieldType.IsAssignableTo(typeof(VfioDevice))), "the look would find one");
    }

    [Fact]
    [Trait("Row", "S1-13")]
    public void MediatedDriver_WhatItMakes_IsTheDeviceItself()
    {
        // The driver hands a device over to be registered as it is, and gets the same one back at the end.
        MethodInfo probe = typeof(MdevDriver).GetMethod("Probe", BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public)!;
        Assert.Equal(typeof(VfioDevice), probe.ReturnType);
        MethodInfo remove = typeof(MdevDriver).GetMethod("Remove", BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public)!;
        Assert.Contains(typeof(VfioDevice), remove.GetParameters().Select(static p => p.ParameterType));
        Assert.False(typeof(MdevDevice).IsAssignableTo(typeof(VfioDevice)));
    }

    private sealed class Shim(VfioDevice inner)
    {
        private readonly VfioDevice _inner = inner;

        public override string ToString() => $"{_inner}";
    }
}
