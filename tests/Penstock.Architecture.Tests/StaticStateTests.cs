using System.Reflection;
using System.Runtime.CompilerServices;

namespace Penstock.Architecture.Tests;

/// <summary>Everything that changes belongs to a host object, so that hosts share nothing and tests need no cleaning up.</summary>
public sealed class StaticStateTests
{
    private const BindingFlags Statics = BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
    private const BindingFlags Instances = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

    /// <summary>Fields that may stay, each with its reason: <c>Namespace.Type.Field</c>.</summary>
    private static readonly Dictionary<string, string> Allowed = new()
    {
        ["Penstock.Vfio.CallingThread._id"] = "one for each thread, and what it holds never changes",
    };

    [Theory]
    [InlineData("Penstock.Vfio")]
    [InlineData("Penstock.Pci")]
    [InlineData("Penstock.VfioUser")]
    [InlineData("Penstock.S390")]
    [InlineData("Penstock.Hypervisor")]
    public void Core_StaticFields_CannotChange(string project)
    {
        IEnumerable<string> mutable = Assemblies.Of(project).GetTypes()
            .Where(type => !IsGenerated(type))
            .SelectMany(type => type.GetFields(Statics))
            .Where(field => !field.IsLiteral && !(field.IsInitOnly && IsImmutable(field.FieldType)))
            .Select(field => $"{field.DeclaringType!.FullName}.{field.Name}")
            .Where(name => !Allowed.ContainsKey(name));
        Assert.Empty(mutable);
    }

    [Theory]
    [InlineData(typeof(int[]), false)]
    [InlineData(typeof(List<int>), false)]
    [InlineData(typeof(TimeSpan), true)]
    [InlineData(typeof(string), true)]
    [InlineData(typeof(System.Collections.Frozen.FrozenSet<int>), true)]
    public void IsImmutable_KnownTypes_AsExpected(Type type, bool expected) => Assert.Equal(expected, IsImmutable(type));

    private static bool IsGenerated(Type? type) =>
        type is not null && (type.IsDefined(typeof(CompilerGeneratedAttribute), false) || type.Name.StartsWith('<') || IsGenerated(type.DeclaringType));

    private static bool IsImmutable(Type type)
    {
        if (type.IsPrimitive || type.IsEnum || type == typeof(string))
        {
            return true;
        }

        if (type.Namespace is "System.Collections.Frozen" or "System.Collections.Immutable")
        {
            return true;
        }

        return (type.IsValueType || type.IsSealed) && !type.IsArray
            && Array.TrueForAll(type.GetFields(Instances), f => f.IsInitOnly && IsImmutable(f.FieldType));
    }
}
